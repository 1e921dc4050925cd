"""Measures how well PPO learns, on environments with published results and on markets whose best policy is known.

python -m benchmarks.learning [--quick] [--seeds N] [--only ROW] [--json FILE]

Prints a table with a verdict for each row: ok, short, or - without a target. docs/learning.md says how each row is
measured. The exit status is 0 even if rows fall short.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from benchmarks.learning_tasks.rows import ROWS
from benchmarks.results.markdown import aligned
from benchmarks.results.targets import Figures, Row

HEADINGS = ("row", "seeds", "steps", "figure", "target", "verdict")
SEEDS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    rows = [row for row in ROWS if not options.only or any(part in row.name for part in options.only)]
    if not rows:
        raise SystemExit(f"--only: no row's name contains {' or '.join(options.only)}; rows: {', '.join(names())}")
    results = measure(rows, 1 if options.quick else options.seeds, options.processes)
    print(table([row.cells(results[row.name]) for row in rows]))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description="How well PPO learns.")
    parser.add_argument("--quick", action="store_true", help="one seed of each row")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"seeds of each row, from 0 on; {SEEDS} by default")
    parser.add_argument("--only", action="append", metavar="ROW", help="only rows whose name contains this; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results of each seed")
    parser.add_argument("--processes", type=int, default=2, help="seeds measured at the same time; 2 by default")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.processes < 1:
        parser.error("--seeds and --processes: at least 1")
    return options


def names() -> list[str]:
    return [row.name for row in ROWS]


def measure(rows: Sequence[Row], seeds: int, processes: int) -> dict[str, Figures]:
    """Return the results of `seeds` seeds of each row, by the row's name. The longest rows start first."""
    longest = sorted(rows, key=lambda row: row.steps, reverse=True)
    results: dict[str, dict[int, dict[str, float]]] = {row.name: {} for row in rows}
    # Forked processes would inherit the state of torch's threads.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=single_thread) as pool:
        tasks = {pool.submit(measure_seed, row.name, seed): (row, seed) for seed in range(seeds) for row in longest}
        for task in as_completed(tasks):
            row, seed = tasks[task]
            figures, seconds = task.result()
            results[row.name][seed] = figures
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            print(f"{row.name}, seed {seed}: {shown} ({seconds:.0f} s of processor time)", flush=True)
    return {name: [by_seed[seed] for seed in sorted(by_seed)] for name, by_seed in results.items()}


def single_thread() -> None:
    torch.set_num_threads(1)


def measure_seed(name: str, seed: int) -> tuple[dict[str, float], float]:
    """Return a seed's results and the processor time in seconds."""
    started = time.process_time()
    row = next(row for row in ROWS if row.name == name)
    return row.measure(seed), time.process_time() - started


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows' cells as a Markdown table."""
    return aligned([HEADINGS, *rows])


if __name__ == "__main__":
    main()
