"""Measures the service around the training: a run's start, the schedule, the summary endpoint, and memory.

python -m benchmarks.service [--only PART] [--json]

The processes are the real ones, on a private Redis and a PostgreSQL of their own in a throw-away folder.
"""

import argparse
import json
from collections.abc import Sequence

from benchmarks.results import figures
from benchmarks.results.figures import Figure, shown
from benchmarks.results.markdown import aligned
from benchmarks.system.running_system import django_on_throw_away_system

PARTS = ("run", "schedule", "summary", "memory")
HEADINGS = ("part", *figures.HEADINGS)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    found = measure(options.only or PARTS)
    print(table(found))
    if options.json:
        print(json.dumps({part: {figure.name: figure.value for figure in figures} for part, figures in found.items()}))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description="The service around training.")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--json", action="store_true", help="print the results as a JSON object on the last line")
    return parser.parse_args(arguments)


def measure(parts: Sequence[str]) -> dict[str, list[Figure]]:
    """Return the results of each part."""
    with django_on_throw_away_system() as system:
        # The module imports models, which requires django.setup().
        from benchmarks.system import service_measurements

        return {part: list(shown(service_measurements.PARTS[part](system), part)) for part in parts}


def table(found: dict[str, list[Figure]]) -> str:
    """Return the results of all parts as a Markdown table."""
    return aligned([HEADINGS, *((part, *figure.cells()) for part, figures in found.items() for figure in figures)])


if __name__ == "__main__":
    main()
