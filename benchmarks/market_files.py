"""Measures how long a market file of 2,600,000 one-minute bars takes to load, and how much memory.

python -m benchmarks.market_files [--quick] [--json]

The bars are five years of a continuous market, as CSV and as Parquet. docs/performance.md says more.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from benchmarks.results.figures import HEADINGS, Figure, shown
from benchmarks.results.markdown import aligned
from benchmarks.system.processes import most_memory
from benchmarks.training_speed.random_walk import random_walk
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig

BARS, QUICK_BARS = 2_600_000, 26_000
# The most seconds that each file may take.
SECONDS = {"bars.csv": 10.0, "bars.parquet": 3.0}
MEGABYTES = 1500.0
ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    found = list(shown(measure(QUICK_BARS, rounds=1) if options.quick else measure(BARS, ROUNDS)))
    print(aligned([HEADINGS, *(figure.cells() for figure in found)]))
    if options.json:
        print(json.dumps({"rows": [figure.as_dict() for figure in found]}))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.market_files", description="Loading of market files.")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_BARS:,} bars, loaded once")
    parser.add_argument("--json", action="store_true", help="print the rows as a JSON object on the last line")
    return parser.parse_args(arguments)


def measure(bars: int, rounds: int) -> Iterator[Figure]:
    """Yield the shortest of the times of each file, and the largest memory of a process that loads it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, bars)
        for file, seconds in SECONDS.items():
            took, megabytes = zip(*(load_alone(folder, file, bars) for _ in range(rounds)), strict=True)
            what = f"{file}, {bars:,} bars"
            yield Figure(f"{what}: time to load, shortest of {rounds}", min(took), "s", at_most=seconds)
            yield Figure(f"{what}: memory, largest of {rounds}", max(megabytes), "MB", at_most=MEGABYTES)


def write(folder: Path, bars: int) -> None:
    """Write the same bars as `bars.csv` and as `bars.parquet`."""
    market = random_walk(bars)
    columns = {name: getattr(market, name) for name in ("open", "high", "low", "close", "volume")}
    table = pa.table({"timestamp": market.timestamp.astype("datetime64[s]").astype(int), **columns})
    csv.write_csv(table, folder / "bars.csv")
    parquet.write_table(table, folder / "bars.parquet")


def load_alone(folder: Path, file: str, bars: int) -> tuple[float, float]:
    """Load the file in a process of its own; return the seconds, and the largest memory of the process in MB."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        loaded, seconds, megabytes = pool.submit(_load, folder, file).result()
    if loaded != bars:
        raise RuntimeError(f"{file}: {loaded:,} of {bars:,} bars were loaded")
    return seconds, megabytes


def _load(folder: Path, file: str) -> tuple[int, float, float]:
    started = time.perf_counter()
    market = load_market(MarketConfig(source="file", path=file), root=folder)
    seconds = time.perf_counter() - started
    return len(market), seconds, most_memory("self") / 1e6


if __name__ == "__main__":
    main()
