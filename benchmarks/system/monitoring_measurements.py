"""The measurements of `benchmarks.monitoring`. Importing this module requires django.setup()."""

import os
import statistics
import time
from collections.abc import Callable, Iterator

from django.db.models import F

from benchmarks.results.figures import Figure
from benchmarks.system.processes import processor_percent, processor_seconds, resident
from benchmarks.system.running_system import LOCAL, RunningSystem
from benchmarks.system.stored_rows import empty, insert_runs, vacuum
from quantum_trader import health
from rl_training.alerts.evaluator import Evaluator
from rl_training.alerts.kinds import SYSTEM_KINDS
from rl_training.alerts.models import Alert, AlertRule, Round, add_default_rules
from rl_training.models import PolicyStore, RunTotal, TrainingRun, totals

POLICIES = 1_000
RUNS = 1_000_000
SCRAPES = 200
ROUNDS = 20
# The number of policies that finish a run between two rounds.
BUSY_POLICIES = 20


def measure(system: RunningSystem) -> Iterator[Figure]:
    """Measure the count of runs, the rounds of alert rules, and scrapes of /metrics."""
    empty(policies=POLICIES)
    store_rules()
    store_runs()
    yield timed("counting all runs anew, as the migration does", lambda: totals.count_anew(RunTotal, TrainingRun))
    yield from rounds()
    with system.start("web", "alerts") as services:
        for _ in range(5):
            scrape(system)
        before = processor_seconds(services["web"].process)
        taken = [1000 * scrape(system) for _ in range(SCRAPES)]
        spent = processor_seconds(services["web"].process) - before
        # Unlike the wall time, the processor time does not depend on other processes.
        yield Figure("scrape of /metrics, processor time of web", 1000 * spent / SCRAPES, "ms")
        yield Figure("scrape of /metrics, median", statistics.median(taken), "ms", 100.0)
        yield Figure("scrape of /metrics, 95th percentile", statistics.quantiles(taken, n=20)[18], "ms", 100.0)
        yield Figure("scrape of /metrics, shortest", min(taken), "ms")
        yield resident("web", services["web"].process, 150.0)
        yield Figure("alerts' processor use", processor_percent(services["alerts"].process), "% of a core")
        yield resident("alerts", services["alerts"].process, 150.0)


def store_rules() -> None:
    """Store the default rules of every policy and the rules of the system."""
    for policy in PolicyStore.objects.all():
        add_default_rules(policy)
    AlertRule.objects.bulk_create(AlertRule(kind=kind) for kind in SYSTEM_KINDS)
    # The runs are years old, so every policy would be overdue.
    AlertRule.objects.filter(kind="overdue").update(threshold=1000)
    PolicyStore.objects.update(interval_minutes=366 * 24 * 60)


def store_runs() -> None:
    """Store finished runs of all policies in turn, so that each policy has one every 1,000 minutes."""
    policies = list(PolicyStore.objects.order_by("pk").values_list("pk", flat=True))
    # Not every tenth run fails, because such runs would always belong to the same policies.
    insert_runs(policies, "{}", range(RUNS), fails_every=7)
    vacuum()
    PolicyStore.objects.update(total_runs=RUNS // POLICIES)


def rounds() -> Iterator[Figure]:
    """Measure rounds of alert rules in this process: first of all rules, then with new runs of no or some policies."""
    evaluator = Evaluator()
    yield timed("first round, all rules judged", evaluator.round)
    yield Figure("alerts that it opened", Alert.objects.count(), "")
    for name, changed in (("no policy", 0), (f"{BUSY_POLICIES} policies", BUSY_POLICIES)):
        some = list(PolicyStore.objects.values_list("pk", flat=True)[:changed])
        taken = [1000 * seconds_of_a_round(evaluator, some) for _ in range(ROUNDS)]
        yield Figure(f"round with new runs of {name}, median", statistics.median(taken), "ms")


def seconds_of_a_round(evaluator: Evaluator, changed: list[int]) -> float:
    """Give each of the changed policies a new run, and return the seconds of the next round."""
    PolicyStore.objects.filter(pk__in=changed).update(total_runs=F("total_runs") + 1)
    Round.objects.all().delete()
    started = time.perf_counter()
    evaluator.round()
    return time.perf_counter() - started


def timed(name: str, do: Callable[[], object]) -> Figure:
    """Return the seconds that a call of `do` takes."""
    started = time.perf_counter()
    do()
    return Figure(name, time.perf_counter() - started, "s")


def scrape(system: RunningSystem) -> float:
    """Return the seconds of one scrape. Raises RuntimeError if /metrics does not answer with metrics."""
    started = time.perf_counter()
    authorization = {"Authorization": f"Bearer {os.environ['METRICS_TOKEN']}"}
    status, body = health.get(f"http://{LOCAL}:{system.web_port}/metrics", authorization)
    if status != 200 or "quantum_trader_runs_total" not in body:
        raise RuntimeError(f"/metrics answered {status}: {body[:200]}")
    return time.perf_counter() - started
