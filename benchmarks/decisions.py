"""Measures decisions: whether they equal those of the evaluation, their latency, and their state after kills.

python -m benchmarks.decisions [--quick] [--only PART] [--json]

The service is measured with its real processes, a private Redis and a PostgreSQL of its own in a throw-away folder, on
a market file to which bars are appended. docs/decisions.md says what each row means. The exit status is 0 even if
rows fall short.
"""

import argparse
import json
from collections.abc import Iterator, Sequence

from benchmarks.results.figures import HEADINGS, Figure, shown
from benchmarks.results.markdown import aligned

PARTS = ("equality", "comparisons", "latency", "policies", "kills", "stored")
DECISIONS = 1_000_000
QUICK_DECISIONS = 20_000


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    found = list(shown(measure(options.only or PARTS, quick=options.quick)))
    print(aligned([HEADINGS, *(figure.cells() for figure in found)]))
    if options.json:
        print(json.dumps({"rows": [figure.as_dict() for figure in found]}))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description="Decisions on new bars.")
    parser.add_argument(
        "--quick", action="store_true", help="20,000 decisions, 100 paths, 5 kills, 100,000 stored decisions"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--json", action="store_true", help="print the rows as a JSON object on the last line")
    return parser.parse_args(arguments)


def measure(parts: Sequence[str], *, quick: bool) -> Iterator[Figure]:
    if "equality" in parts:
        from benchmarks.decision_rows.equality import equality

        yield equality(QUICK_DECISIONS if quick else DECISIONS)
    if "comparisons" in parts:
        from benchmarks.decision_rows.betting_rows import measure as comparisons

        yield from comparisons(100 if quick else 1_000)
    if set(parts) <= {"equality", "comparisons"}:
        return
    # PostgreSQL's module is a development requirement, and models need django.setup().
    from benchmarks.system.running_system import django_on_throw_away_system

    # A bar of a second is valid for a minute, so that the API still answers its decision.
    with django_on_throw_away_system(MAX_BAR_AGE="60", API_READS_PER_MINUTE="1000000") as system:
        from benchmarks.decision_rows import many_stored, service

        if "latency" in parts:
            yield from service.latency(system, bars=15 if quick else 100)
        if "policies" in parts:
            yield from service.many_policies(system)
        if "kills" in parts:
            yield from service.kills(system, 5 if quick else 50)
        if "stored" in parts:
            yield from many_stored.measure(system, 100_000 if quick else 10_000_000)


if __name__ == "__main__":
    main()
