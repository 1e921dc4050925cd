"""Measures walk-forwards: what they validate, whether a leak is detected, and how long they take.

python -m benchmarks.validation [--quick] [--only PART] [--markets N] [--processes N] [--json]

docs/validation.md says what each row means. The exit status is 0 even if rows fall short.
"""

import argparse
import json
from collections.abc import Iterator, Sequence

from benchmarks.learning_tasks.pools import pool_of
from benchmarks.results.figures import HEADINGS, Figure, shown
from benchmarks.results.markdown import aligned
from benchmarks.validation_rows.leaks import leaks
from benchmarks.validation_rows.recipes import DEFAULT_SEEDS, noise_recipes
from benchmarks.validation_rows.speed import speed
from benchmarks.validation_rows.verdicts import noise, structure

PARTS = ("leaks", "speed", "structure", "noise")
MARKETS = 100
QUICK_MARKETS, QUICK_RECIPES = 2, 2


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    found = list(shown(measure(options)))
    print(aligned([HEADINGS, *(figure.cells() for figure in found)]))
    if options.json:
        print(json.dumps({"rows": [figure.as_dict() for figure in found]}))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description="Walk-forwards.")
    parser.add_argument("--quick", action="store_true", help="2 markets, 2 recipes on noise, 1 seed in the speed rows")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--markets", type=int, help=f"markets of each kind; {MARKETS} by default")
    parser.add_argument("--processes", type=int, default=2, help="markets measured at the same time; 2 by default")
    parser.add_argument("--json", action="store_true", help="print the rows as a JSON object on the last line")
    options = parser.parse_args(arguments)
    options.only = options.only or PARTS
    options.markets = options.markets or (QUICK_MARKETS if options.quick else MARKETS)
    if options.markets < 1 or options.processes < 1:
        parser.error("--markets and --processes: at least 1")
    return options


def measure(options: argparse.Namespace) -> Iterator[Figure]:
    if "leaks" in options.only:
        yield from leaks()
    if "speed" in options.only:
        yield from speed(seeds=1 if options.quick else DEFAULT_SEEDS)
    with pool_of(options.processes) as pool:
        if "structure" in options.only:
            yield from structure(pool, options.markets)
        if "noise" in options.only:
            yield from noise(pool, options.markets, QUICK_RECIPES if options.quick else len(noise_recipes()))


if __name__ == "__main__":
    main()
