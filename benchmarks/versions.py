"""Measures versions: their quality after many slots under each start rule, and the record of what is live.

python -m benchmarks.versions [--quick] [--only PART] [--json]

The quality is measured on planted markets, whose best possible result is known. The record is measured with the real
web process, a private Redis and a PostgreSQL of its own in a throw-away folder. docs/versions.md says what each row
means.
The exit status is 0 even if rows fall short.
"""

import argparse
import json
from collections.abc import Iterator, Sequence

from benchmarks.learning_tasks.pools import pool_of
from benchmarks.results.figures import HEADINGS, Figure, shown
from benchmarks.results.markdown import aligned

PARTS = ("quality", "record")
MARKETS, SLOTS = 8, 50
# Each trains on one market at a time.
PROCESSES = 2


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    found = list(shown(measure(options.only or PARTS, quick=options.quick)))
    print(aligned([HEADINGS, *(figure.cells() for figure in found)]))
    if options.json:
        print(json.dumps({"rows": [figure.as_dict() for figure in found]}))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description="Versions and what is live.")
    parser.add_argument(
        "--quick", action="store_true", help="one market, 5 slots where runs continue, a tenth of the rows"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--json", action="store_true", help="print the rows as a JSON object on the last line")
    return parser.parse_args(arguments)


def measure(parts: Sequence[str], *, quick: bool) -> Iterator[Figure]:
    # PostgreSQL's module is a development requirement, and models need django.setup().
    from benchmarks.system.running_system import django_on_throw_away_system
    from benchmarks.version_rows import deployed, start_rules

    # Eight clients write more in a minute than one user may by default.
    with django_on_throw_away_system(API_WRITES_PER_MINUTE="1000000", API_READS_PER_MINUTE="1000000") as system:
        if "quality" in parts:
            from rl_training.models import PolicyStore

            seeds = PolicyStore._meta.get_field("seeds").default
            with pool_of(PROCESSES) as pool:
                yield from start_rules.measure(pool, seeds, range(1 if quick else MARKETS), 5 if quick else SLOTS)
        if "record" in parts:
            yield from deployed.measure(system, quick=quick)


if __name__ == "__main__":
    main()
