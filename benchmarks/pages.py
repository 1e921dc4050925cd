"""Measures pages of runs and charts with a million runs and a thousand policies on PostgreSQL.

    python -m benchmarks.pages [--runs NUMBER]

One client, a real web process, a PostgreSQL in a throw-away folder.
"""

import argparse
import http.client
import statistics
import time
from collections.abc import Iterator, Sequence

from benchmarks.results.figures import HEADINGS, Figure, shown
from benchmarks.results.markdown import aligned
from benchmarks.system.running_system import LOCAL, RunningSystem, django_on_throw_away_system

POLICIES = 1_000
REQUESTS = 200
CHART_MS, LIST_MS = 100.0, 150.0
CHARTS = ("rewards", "episodes", "distribution", "durations", "episode-durations", "speed")
CHART_URLS = (
    *(f"/charts/rl_v3/{key}.json" for key in CHARTS),
    "/charts/policy_1/speed.json",
    "/charts/rl_v3/versions/1/equity.json",
    "/charts/rl_v3/versions/1/drawdown.json",
)
# The dates are within those of the runs of `store_runs`.
LISTS = (
    "/",
    "/?page=2",
    "/policies/rl_v3/",
    "/policies/rl_v3/versions/",
    "/policies/rl_v3/runs/",
    "/policies/rl_v3/validation/",
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
    with django_on_throw_away_system() as system:
        figures = list(shown(measure(system, options.runs)))
    print(aligned([HEADINGS, *(figure.cells() for figure in figures)]))


def measure(system: RunningSystem, runs: int) -> Iterator[Figure]:
    """Measure each URL, with `runs` stored runs."""
    # These modules import models, which requires django.setup().
    from benchmarks.system import stored_pages, stored_rows

    stored_rows.empty(policies=POLICIES)
    stored_rows.store_runs(runs)
    run_id = stored_pages.store_runs_of_other_policies_and_a_version()
    cookie = stored_pages.session()
    with system.start("web"):
        for urls, at_most in ((CHART_URLS, CHART_MS), ((*PAGES, f"/runs/{run_id}/"), LIST_MS)):
            for url in urls:
                taken = request(system.web_port, url, cookie)
                yield Figure(f"{url}, 95th percentile", percentile(taken), "ms", at_most)


def request(port: int, url: str, cookie: str) -> list[float]:
    """Request a URL repeatedly on one connection, and return the milliseconds of each answer.

    Raises RuntimeError if an answer's status is not 200.
    """
    connection = http.client.HTTPConnection(LOCAL, port)
    taken = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        connection.request("GET", url, headers={"Cookie": f"sessionid={cookie}"})
        answer = connection.getresponse()
        answer.read()
        taken.append(1000 * (time.perf_counter() - started))
        if answer.status != 200:
            raise RuntimeError(f"{url} answered {answer.status}")
    connection.close()
    return taken


def percentile(taken: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(taken, n=20)[18]


if __name__ == "__main__":
    main()
