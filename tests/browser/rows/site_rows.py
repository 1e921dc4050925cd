"""`python -m tests.browser.rows.site_rows SET`: stores a set of users, policies and runs for a browser.

Prints the ids of some rows as JSON. The program runs in a process of its own, with the settings of the browser's
system. The sets are `plain`, `hostile` (also with markup in names and texts), and `untrained` (only users and policies,
which real workers train afterwards).
"""

import json
import random
import sys
from datetime import datetime, timedelta
from typing import Any

import django

django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.utils import timezone  # noqa: E402

from rl_training.accounts import tokens  # noqa: E402
from rl_training.alerts.models import Alert, AlertRule  # noqa: E402
from rl_training.core.config import EnvironmentConfig, PPOConfig  # noqa: E402
from rl_training.models import Comparison, Deployment, PolicyStore, PolicyVersion, TrainingEvent, TrainingRun  # noqa: E402
from rl_training.runs import work_lifecycle  # noqa: E402
from rl_training.versions import comparisons  # noqa: E402
from tests.browser.names import (  # noqa: E402
    HOSTILE,
    LIVE,
    LIVE_EPISODES,
    LIVE_SEEDS,
    LONG,
    PASSWORD,
    PROMOTED,
    ROLLED_BACK,
    UNTRAINED,
)
from tests.browser.rows import compared_rows, walked_rows  # noqa: E402
from tests.random_results import POINTS, curve, evaluation  # noqa: E402

# An episode of a run with these settings takes some hundredths of a second.
SMALL = EnvironmentConfig(episode_length=64)
QUICK = PPOConfig(num_envs=4, rollout_length=16, minibatch_size=64, hidden_sizes=[8], epochs=1, device="cpu")
SINCE_LAST_SLOT = timedelta(minutes=10)
ERROR = "prices.csv, row 7: close is above high"
TRACEBACK = f"Traceback (most recent call last):\n  ...\nMarketDataError: {ERROR}"
MARKET = {"name": "sp500", "bars": 5031, "first": "1999-01-04", "last": "2018-12-31", "digest": "5e1d" * 16}


def store(rows: str) -> dict[str, Any]:
    store_users()
    if rows == "untrained":
        return store_untrained()
    # The migration's policy is due at once; it stays disabled until a test enables it.
    PolicyStore.objects.update(enabled=False, environment=SMALL, ppo=QUICK)
    history = PolicyStore.objects.create(name="trend_daily", environment=SMALL, ppo=QUICK)
    version, failed = store_history(history, 60, versions=3)
    live = PolicyStore.objects.create(
        name=LIVE, environment=SMALL, ppo=QUICK, seeds=LIVE_SEEDS, episodes_per_run=LIVE_EPISODES
    )
    store_history(live, 12)
    long = PolicyStore.objects.create(
        name=LONG, environment=SMALL, ppo=QUICK, interval_minutes=1440, episodes_per_run=1000
    )
    store_history(long, 1)
    store_deployed(PROMOTED, live=1)
    store_deployed(ROLLED_BACK, live=2)
    alert = store_alerts(history, live)
    walked_rows.store_policies()
    return {
        "version": version,
        "failed": failed,
        "alert": alert,
        "comparison": store_comparison(history),
        "arm_comparison": compared_rows.store_compared(),
        "validation": walked_rows.store_walked_forward(history),
        "hostile": store_hostile() if rows == "hostile" else [],
    }


def store_users() -> None:
    """Store a user for each role, and `nobody` without a role."""
    for name in ("viewer", "operator", "admin"):
        user = User.objects.create_user(name, password=PASSWORD, is_staff=name == "admin")
        user.groups.add(Group.objects.get(name=name))
    User.objects.create_user("nobody", password=PASSWORD)


def store_untrained() -> dict[str, Any]:
    """Store the policies of `UNTRAINED` beside `rl_v3`, and return the operator's API token."""
    for name, settings in UNTRAINED.items():
        policy = PolicyStore(name=name)
        for column, value in settings.items():
            current = getattr(policy, column)
            setattr(policy, column, current.model_copy(update=value) if isinstance(value, dict) else value)
        policy.full_clean()
        policy.save()
    return {"token": tokens.create(User.objects.get(username="operator"), "tests", second_factor=False)[1]}


def store_history(policy: PolicyStore, hours: int, versions: int = 0) -> tuple[int, str]:
    """Store a run in each hour, and versions of the last runs.

    Returns the number of the newest version and the id of the last failed run. The versions have no files, so no worker
    can start from them.
    """
    chance = random.Random(5)
    now = timezone.now()
    failed, number = "", 0
    for hour in range(hours, 0, -1):
        run = store_run(policy, hour, now - timedelta(hours=hour - 1) - SINCE_LAST_SLOT, 0.004 * (hours - hour), chance)
        failed = run.run_id if run.status == "failed" else failed
        if hour <= versions and run.status == "succeeded":
            number += 1
            PolicyVersion.objects.create(
                policy=policy, number=number, run=run, artifact="a", sha256="ab" * 32, evaluation=evaluation(chance)
            )
    finished = policy.runs.finished()
    policy.total_runs, policy.succeeded_runs = finished.count(), finished.filter(status="succeeded").count()
    policy.next_run_at = now + timedelta(hours=1) - SINCE_LAST_SLOT
    policy.save()
    return number, failed


def store_deployed(name: str, live: int) -> None:
    """Store a disabled policy with versions 1 and 2; the first `live` of them went live, a day apart."""
    policy = PolicyStore.objects.create(name=name, enabled=False, environment=SMALL, ppo=QUICK)
    chance = random.Random(7)
    previous = None
    for number in (1, 2):
        run = store_run(policy, 2 * number, timezone.now() - timedelta(days=5 - number), 0.0, chance)
        columns = {"artifact": "a", "sha256": "ab" * 32, "evaluation": evaluation(chance)}
        version = PolicyVersion.objects.create(policy=policy, number=number, run=run, **columns)
        if number <= live:
            previous = Deployment.objects.create(
                policy=policy,
                version=version,
                action="promote",
                at=timezone.now() - timedelta(days=5 - number),
                actor="user",
                actor_name="anna",
                reason=f"Version {number} earns more.",
                previous=previous,
            )


def store_run(policy: PolicyStore, hour: int, end: datetime, reward: float, chance: random.Random) -> TrainingRun:
    """Store the run that ended `ago` hours ago, with its events; every 14th run failed."""
    failed = hour % 14 == 3
    seconds = chance.lognormvariate(1.4, 0.3)
    queued, started = end - timedelta(seconds=seconds + 1), end - timedelta(seconds=seconds)
    rewards = [] if failed else [reward + chance.gauss(0, 0.05) for _ in range(4)]
    run = TrainingRun.objects.create(
        policy=policy,
        status="failed" if failed else "succeeded",
        trigger="schedule",
        attempt=1,
        scheduled_for=queued,
        queued_at=queued,
        started_at=started,
        finished_at=end,
        duration_seconds=seconds,
        episodes=4,
        episodes_done=len(rewards),
        environment_steps=len(rewards) * 20_000,
        episode_rewards=rewards,
        curve=curve(rewards, chance),
        avg_reward=None if failed else sum(rewards) / 4,
        final_reward=None if failed else rewards[-1],
        avg_policy_loss=None if failed else chance.gauss(-0.003, 0.001),
        avg_value_loss=None if failed else abs(chance.gauss(0.4, 0.05)),
        config=config(hour),
        market_summary=None if failed else MARKET,
        error=ERROR if failed else "",
        traceback=TRACEBACK if failed else "",
    )
    for kind, time in (("started", started), ("completed", end)):
        TrainingEvent.objects.create(
            event_type=f"{policy.name}.training.{kind}",
            run=run,
            timestamp=time,
            published_at=time,
            payload={"run_id": run.run_id, "policy": policy.name, "error": run.error},
        )
    return run


def store_alerts(history: PolicyStore, live: PolicyStore) -> int:
    """Store an acknowledged and an open alert, and return the id of the open one.

    Both stay open until a run of their policy ends.
    """
    known = {"acknowledged_at": timezone.now(), "acknowledged_by": User.objects.get(username="operator")}
    for policy, columns in ((live, known), (history, {})):
        found, _ = AlertRule.objects.get_or_create(policy=policy, kind="success_rate")
        AlertRule.objects.filter(pk=found.pk).update(threshold=0.95, window=12)
        message = "11 of the last 12 runs succeeded, 92%; at least 95% should."
        alert = Alert.objects.create(rule=found, policy=policy, kind=found.kind, message=message, **columns)
    return alert.pk


def store_comparison(policy: PolicyStore) -> str:
    """Store a comparison of the policy's first two versions with a result, and return its id."""
    versions = list(policy.versions.order_by("number").select_related("run")[:2])
    comparison = comparisons.request(versions, send_message=False)
    claimed = work_lifecycle.claim(Comparison, comparison.comparison_id)
    assert claimed is not None
    found = evaluation(random.Random(7))
    others = {"buy and hold": found["buy_and_hold"], "flat": found["flat"]}
    accounts = [{"name": str(version), "reference": False} | found for version in versions]
    accounts += [{"name": name, "reference": True} | account for name, account in others.items()]
    difference = {"account": 0, "other": 1, "mean": 0.00012, "low": -0.00003, "high": 0.00027}
    result = {"bars": POINTS - 1, "accounts": accounts, "differences": [difference], "costs": {"fee": 0.0005}}
    result |= {"timestamps": found["timestamps"], "resamples": 10_000, "block_length": 3}
    bars = {"bars": POINTS - 1, "bars_first": timezone.now(), "bars_last": timezone.now(), "bars_digest": "ef" * 32}
    work_lifecycle.succeed(claimed, result=result, **bars)
    return str(comparison)


def config(hour: int) -> dict[str, Any]:
    """Return the config of the run so many hours ago; one setting changed 20 hours ago."""
    gamma = 0.99 if hour > 20 else 0.995
    return {
        "seed": hour,
        "episodes": 4,
        "market": {"source": "sp500"},
        "environment": SMALL.model_dump(mode="json"),
        "ppo": QUICK.model_dump(mode="json") | {"gamma": gamma},
    }


def store_hostile() -> list[str]:
    """Store a policy, run, event and version for each text of `HOSTILE` without validation; return the runs' ids."""
    found = []
    for text in HOSTILE:
        policy = PolicyStore.objects.create(name=text, enabled=False, schedule_error=text)
        now = timezone.now()
        run = TrainingRun.objects.create(
            policy=policy,
            status="failed",
            trigger="api",
            attempt=1,
            queued_at=now,
            started_at=now,
            finished_at=now,
            duration_seconds=1.0,
            episodes=2,
            config={text: text, "ppo": {text: text}},
            market_summary={text: text, "name": text},
            error=text,
            traceback=text,
        )
        PolicyStore.objects.filter(pk=policy.pk).update(total_runs=1)
        TrainingEvent.objects.create(
            event_type=f"{text}.training.completed", run=run, timestamp=now, published_at=now, payload={text: text}
        )
        PolicyVersion.objects.create(
            policy=policy, number=1, run=run, artifact=text, sha256="cd" * 32, evaluation=evaluation(random.Random(1))
        )
        found.append(run.run_id)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(store(sys.argv[1])))
