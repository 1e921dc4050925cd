"""Attacks a running system as a client on its network could, and prints what each attack achieves.

python -m benchmarks.abuse [--only PART] [--json]

The processes are the real ones, on a private Redis and a PostgreSQL of their own in a throw-away folder.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from importlib import import_module

from benchmarks.abuse.rows import HEADINGS, Row
from benchmarks.results.figures import shown
from benchmarks.results.markdown import aligned
from benchmarks.system.running_system import RunningSystem, django_on_throw_away_system

# Each part is a module of this package. Its function `rows(system)` starts the services that it attacks.
PARTS = ("guessing", "bounds", "growth")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    with django_on_throw_away_system() as system:
        found = list(measure(system, options.only or PARTS))
    print(aligned([HEADINGS, *(row.cells() for row in found)]))
    if options.json:
        print(json.dumps({"rows": [row.as_dict() for row in found]}))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.abuse", description="Attacks on a running system.")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--json", action="store_true", help="print the rows as a JSON object on the last line")
    return parser.parse_args(arguments)


def measure(system: RunningSystem, parts: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of each part, and print each row's result to stderr as soon as it is measured."""
    for part in parts:
        # The modules import models, which requires django.setup().
        for row in import_module(f"benchmarks.abuse.{part}").rows(system):
            list(shown([row.figure], part))
            yield row


if __name__ == "__main__":
    main()
