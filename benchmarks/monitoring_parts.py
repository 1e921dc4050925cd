"""What `benchmarks.monitoring` measures. Importing it needs Django's settings to be in place."""

import os
import statistics
import time
from collections.abc import Callable, Iterator

from django.db import connection
from django.db.models import F

from benchmarks.running_system import LOCAL, RunningSystem
from benchmarks.service_parts import INSERT_RUNS, Figure, busy, empty, resident
from quantum_trader import health
from rl_training.alerts.evaluator import Evaluator
from rl_training.alerts.kinds import SYSTEM_KINDS
from rl_training.alerts.models import Alert, AlertRule, Round, add_default_rules
from rl_training.models import PolicyStore, RunTotal, TrainingRun
from rl_training.runs import totals

POLICIES = 1_000
RUNS = 1_000_000
SCRAPES = 200
ROUNDS = 20
# As many finish a run between two rounds.
BUSY_POLICIES = 20


def measure(system: RunningSystem) -> Iterator[Figure]:
    empty(policies=POLICIES)
    store_rules()
    store_runs()
    yield timed("counting all runs anew, as the migration does", lambda: totals.count_anew(RunTotal, TrainingRun))
    yield from rounds()
    with system.start("web", "alerts") as services:
        for _ in range(5):
            scrape(system)
        before = services["web"].process.cpu_times()
        taken = [1000 * scrape(system) for _ in range(SCRAPES)]
        after = services["web"].process.cpu_times()
        spent = after.user + after.system - before.user - before.system
        # What does not depend on what else the machine does.
        yield Figure("scrape of /metrics, processor time of web", 1000 * spent / SCRAPES, "ms")
        yield Figure("scrape of /metrics, median", statistics.median(taken), "ms", 100.0)
        yield Figure("scrape of /metrics, 95th percentile", statistics.quantiles(taken, n=20)[18], "ms", 100.0)
        yield Figure("scrape of /metrics, shortest", min(taken), "ms")
        yield resident("web", services["web"].process, 150.0)
        yield Figure("alerts' processor use", busy(services["alerts"].process), "% of a core")
        yield resident("alerts", services["alerts"].process, 150.0)


def store_rules() -> None:
    for policy in PolicyStore.objects.all():
        add_default_rules(policy)
    AlertRule.objects.bulk_create(AlertRule(kind=kind) for kind in SYSTEM_KINDS)
    # The runs are years old: all policies are overdue.
    AlertRule.objects.filter(kind="overdue").update(threshold=1000)
    PolicyStore.objects.update(interval_minutes=366 * 24 * 60)


def store_runs(at_once: int = 100_000) -> None:
    """Finished runs of all policies in turn, so that each has one every 1,000 minutes."""
    # Not each tenth, which would always be of the same policies.
    insert = INSERT_RUNS.replace("number %% 10 = 0", "number %% 7 = 0")
    insert = insert.replace("'0'), %s,", f"'0'), (%s::bigint[])[1 + number %% {POLICIES}],")
    policies = list(PolicyStore.objects.order_by("pk").values_list("pk", flat=True))
    with connection.cursor() as cursor:
        for first in range(0, RUNS, at_once):
            cursor.execute(insert, [policies, "{}", first, first + at_once - 1])
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
    PolicyStore.objects.update(total_runs=RUNS // POLICIES)


def rounds() -> Iterator[Figure]:
    """Of the alerts' rules, in this process: all of them judged anew, then where some or no policy has a new run."""
    evaluator = Evaluator()
    yield timed("first round, all rules judged", evaluator.round)
    yield Figure("alerts that it opened", Alert.objects.count(), "")
    for name, changed in (("no policy", 0), (f"{BUSY_POLICIES} policies", BUSY_POLICIES)):
        some = list(PolicyStore.objects.values_list("pk", flat=True)[:changed])
        taken = [1000 * a_round(evaluator, some) for _ in range(ROUNDS)]
        yield Figure(f"round with new runs of {name}, median", statistics.median(taken), "ms")


def a_round(evaluator: Evaluator, changed: list[int]) -> float:
    PolicyStore.objects.filter(pk__in=changed).update(total_runs=F("total_runs") + 1)
    Round.objects.all().delete()
    started = time.perf_counter()
    evaluator.round()
    return time.perf_counter() - started


def timed(name: str, do: Callable[[], object]) -> Figure:
    started = time.perf_counter()
    do()
    return Figure(name, time.perf_counter() - started, "s")


def scrape(system: RunningSystem) -> float:
    started = time.perf_counter()
    authorization = {"Authorization": f"Bearer {os.environ['METRICS_TOKEN']}"}
    status, body = health.get(f"http://{LOCAL}:{system.web_port}/metrics", authorization)
    if status != 200 or "quantum_trader_runs_total" not in body:
        raise RuntimeError(f"/metrics answered {status}: {body[:200]}")
    return time.perf_counter() - started
