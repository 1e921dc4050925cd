"""Measures the time until PPO earns 97 % of the best policy's reward, beside stable-baselines3's PPO.

python -m benchmarks.time_to_quality [--seeds N] [--threads N] [--json]

Both have the same hyperparameters, on the market AR(1) 0.2 at 10 bp, and observe the last return and the position. The
clock starts when a warm process builds the trainer, and stops during evaluations. The start of a new process is
reported separately. docs/performance.md says more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from benchmarks.learning_tasks.race import GOAL, RACE, Race

# Every training process does this before its first rollout.
START = "from rl_training.core.run.training import warm_up; warm_up()"


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        cold = {"compiling_seconds": start(folder), "loading_seconds": start(folder)}
    race = Race(RACE, time.perf_counter, options.threads)
    figures = summarise([race.measure(seed) for seed in tqdm(range(options.seeds), unit="seed", disable=None)])
    figures |= cold | {"seeds": options.seeds, "threads": options.threads}
    print(table(figures))
    if options.json:
        print(json.dumps(figures))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_quality", description="Time to 97 %.")
    parser.add_argument("--seeds", type=int, default=5, help="from 0 on; 5 by default")
    cores = os.cpu_count() or 1
    parser.add_argument("--threads", type=int, default=cores, help=f"processor threads; {cores} by default, all cores")
    parser.add_argument("--json", action="store_true", help="print the results as a JSON object on the last line")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.threads < 1:
        parser.error("--seeds and --threads: at least 1")
    return options


def start(cache: str) -> float:
    """Return the seconds until a new Python process could begin a rollout; compiled code is kept in `cache`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", START], env=os.environ | {"NUMBA_CACHE_DIR": cache}, check=True)
    return time.perf_counter() - started


def summarise(races: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return medians over the seeds. The median of the ratio is taken over the ratios of the seeds."""
    median = {name: statistics.median(race[name] for race in races) for name in races[0]}
    return {
        "seconds": median["ours"],
        "sb3_seconds": median["theirs"],
        "ratio": median["figure"],
        "fraction_of_optimum": median["reached"] / 100,
        "each": [{"seconds": race["ours"], "sb3_seconds": race["theirs"]} for race in races],
    }


def table(figures: dict[str, Any]) -> str:
    """Return the results as a Markdown table."""
    return f"""\
| to {GOAL:.0%} of the optimum             | seconds |
|---|---|
| here                               | {figures["seconds"]:7.2f} |
| stable-baselines3                  | {figures["sb3_seconds"]:7.2f} |
| its time over ours, median of seeds | {figures["ratio"]:6.1f} |
| a process's start, compiling       | {figures["compiling_seconds"]:7.2f} |
| a process's start, compiled before | {figures["loading_seconds"]:7.2f} |"""


if __name__ == "__main__":
    main()
