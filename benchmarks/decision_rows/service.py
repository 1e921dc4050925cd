"""Measures the real process: latency, many policies on one bar, a rollback, and kills at random times."""

import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.utils import timezone

from benchmarks.decision_rows.growing_file import GrowingFile, follow, wait_for_decisions
from benchmarks.results.figures import Figure
from benchmarks.system.running_system import RunningSystem
from benchmarks.version_rows.deployed import Client
from benchmarks.version_rows.stored_versions import admin_tokens
from rl_training.decisions.comparing.advancing import recompute
from rl_training.decisions.comparing.requesting import Wanted, begin
from rl_training.decisions.replay import replay
from rl_training.models import Arm, ArmComparison, Decision, Deployment, MarketBar, PolicyStore
from rl_training.versions.changes import Action, Author, Change
from rl_training.versions.deployments import deploy
from tests.weights import stored_version

REQUESTS = 300
POLICIES = 1_000
# Longer than all policies need to decide, even on a busy machine.
SHARED_BAR_SECONDS = 20
KILL_AFTER_SECONDS = (0.2, 4.0)


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18]


def policy_on(name: str, seed: int) -> tuple[PolicyStore, GrowingFile]:
    """Return a new policy with a live version, and its market."""
    policy = PolicyStore.objects.create(name=name, enabled=False)
    file = GrowingFile(settings.MARKET_DATA_ROOT, f"{name}.csv", seed)
    follow(policy, file)
    return policy, file


def latency(system: RunningSystem, bars: int) -> Iterator[Figure]:
    """Measure the time from a bar in the file to its stored decision, and the endpoint of the decision in force."""
    policy, file = policy_on("latency", 1)
    second = stored_version(policy, 2)
    with system.start("web", "beat", "decide"):
        wait_for_decisions(file.catch_up(), 1)
        taken = []
        for _ in range(bars):
            opened_at, available = file.append()
            wait_for_decisions(opened_at, 1)
            decision = Decision.objects.get(policy=policy, bar_opened_at=opened_at, arm__kind="live")
            taken.append(decision.event.timestamp.timestamp() - available)
        yield Figure(f"bar available to decision stored, {bars} bars, 95th percentile", p95(taken), "s", at_most=1)
        client, answered = Client(system.web_port, admin_tokens(1)[0]), []
        for number in range(REQUESTS):
            if number % 50 == 0:
                opened_at, _ = file.append()
                wait_for_decisions(opened_at, 1)
            started = time.perf_counter()
            client.request("GET", "latency/decision")
            answered.append(1000 * (time.perf_counter() - started))
        yield Figure("GET decision, 95th percentile", p95(answered), "ms", at_most=15)
        yield rollback(policy, file, second)


def rollback(policy: PolicyStore, file: GrowingFile, second: Any) -> Figure:
    """Measure the time from a rollback to the next decision, which the restored version makes."""
    author = Author(Deployment.Actor.COMMAND)
    taken = []
    for _ in range(5):
        deploy(policy, Change(Action.PROMOTE, "It is newer.", second), author)
        opened_at = file.catch_up()
        wait_for_decisions(opened_at, 1)
        started = time.time()
        made = deploy(policy, Change(Action.ROLL_BACK, "It loses."), author)
        opened_at, _ = file.append()
        wait_for_decisions(opened_at, 1)
        decision = Decision.objects.get(policy=policy, bar_opened_at=opened_at, arm__kind="live")
        if decision.version_id != made.version_id:
            raise RuntimeError("the decision after the rollback is of another version")
        taken.append(time.time() - started)
    return Figure("rollback to the next decision, with a bar a second, longest of 5", max(taken), "s", at_most=2)


def many_policies(system: RunningSystem) -> Iterator[Figure]:
    """Measure many policies that decide on the same bar."""
    file = GrowingFile(settings.MARKET_DATA_ROOT, "shared.csv", 2, SHARED_BAR_SECONDS)
    version = None
    for number in range(POLICIES):
        policy = PolicyStore.objects.create(name=f"shared_{number}", enabled=False)
        version = follow(policy, file, version)
    # The accounts begin on the newest bar, not on the bars that came while the policies were stored.
    file.catch_up()
    with system.start("beat", "decide"):
        wait_for_decisions(file.catch_up(), POLICIES, 300)
        taken = []
        for _ in range(3):
            opened_at = file.catch_up()
            available = time.time()
            wait_for_decisions(opened_at, POLICIES, 120)
            taken.append(time.time() - available)
    yield Figure(f"{POLICIES:,} policies decide on one bar, longest of 3", max(taken), "s", at_most=5)


def kills(system: RunningSystem, times: int) -> Iterator[Figure]:
    """Kill the process at random times while bars arrive, and count missing, doubled and wrong decisions."""
    policy, file = policy_on("killed", 3)
    with system.start("decide"):
        wait_for_decisions(file.catch_up(), 1, 300)
    # There is no verdict, so that bars are compared until the end.
    wanted = Wanted("flat", f"{policy.name}:1", largest_loss=1.0, floor=0.1)
    begin(policy, wanted, by="the benchmark", now=timezone.now())
    chance = random.Random(0)
    for _ in range(times):
        with system.start("decide") as services:
            deadline = time.monotonic() + chance.uniform(*KILL_AFTER_SECONDS)
            while time.monotonic() < deadline:
                file.append()
            services["decide"].process.kill()
    with system.start("decide"):
        wait_for_decisions(file.catch_up(), 1, 300)
    arms = list(Arm.objects.filter(policy=policy))
    wrong = sum(bool(replay(arm).difference) for arm in arms)
    missing = 0
    for arm in arms:
        decided = list(arm.decisions.values_list("bar_opened_at", flat=True))
        came = MarketBar.objects.filter(market=arm.market, revision=0, opened_at__gte=min(decided)).count()
        missing += abs(came - len(decided)) + len(decided) - len(set(decided))
    bars = max(arm.decisions.count() for arm in arms)
    yield Figure(f"process killed {times} times in {bars} bars: decisions missing or doubled", missing, "", at_most=0)
    yield Figure("accounts other than their replay", wrong, "", at_most=0)
    yield from compared_once(policy)
    silent = Decision.objects.filter(policy=policy, arm__kind="live", event__isnull=True).count()
    yield Figure("decisions without an event", silent, "", at_most=0)


def compared_once(policy: PolicyStore) -> Iterator[Figure]:
    """Count the bars that a comparison of two arms misses or counts twice, and compute the comparison again."""
    comparison = ArmComparison.objects.shown().get(policy=policy)
    both = set(comparison.a.decisions.values_list("bar_opened_at", flat=True))
    both &= set(comparison.b.decisions.values_list("bar_opened_at", flat=True))
    due = sum(opened_at > comparison.first_bar_at for opened_at in both) if comparison.first_bar_at else len(both)
    wrong = abs(due - comparison.bars) + abs(comparison.compared_bars.count() - comparison.bars)
    yield Figure(f"comparison of two arms, {due} bars: bars missing or doubled", wrong, "", at_most=0)
    yield Figure("comparisons other than computed again", int(bool(recompute(comparison))), "", at_most=0)
