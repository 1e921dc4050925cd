"""Measures monitoring at 1,000 policies and 1,000,000 runs: scrapes of /metrics and the alerts' rules.

python -m benchmarks.monitoring

The processes are the real ones, on a private Redis and a PostgreSQL of their own in a throw-away folder.
"""

import argparse
import logging

from benchmarks.results.figures import HEADINGS, shown
from benchmarks.results.markdown import aligned
from benchmarks.system.running_system import django_on_throw_away_system


def main() -> None:
    description = "Scrapes of /metrics, and the alerts' rules."
    argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=description).parse_args()
    with django_on_throw_away_system(METRICS_TOKEN="for a benchmark only") as system:
        # Otherwise every alert that opens would log a line.
        logging.disable(logging.WARNING)
        # The module imports models, which requires django.setup().
        from benchmarks.system import monitoring_measurements

        figures = list(shown(monitoring_measurements.measure(system)))
    print(aligned([HEADINGS, *(figure.cells() for figure in figures)]))


if __name__ == "__main__":
    main()
