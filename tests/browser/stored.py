"""`python -m tests.browser.stored [--hostile]`: users, policies and runs for a browser to look at.

It prints the ids of some as JSON. It runs in a process of its own, with the settings of the system that the browser
looks at.
"""

import json
import random
import sys
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.utils import timezone  # noqa: E402

from rl_training.alerts.models import Alert, AlertRule  # noqa: E402
from rl_training.core.config import EnvironmentConfig, PPOConfig  # noqa: E402
from rl_training.models import PolicyStore, PolicyVersion, TrainingEvent, TrainingRun  # noqa: E402
from tests.browser.names import HOSTILE, LIVE, LIVE_EPISODES, LONG, PASSWORD  # noqa: E402

# Runs whose episodes take some hundredths of a second each.
SMALL = EnvironmentConfig(episode_length=64)
QUICK = PPOConfig(num_envs=4, rollout_length=16, minibatch_size=64, hidden_sizes=[8], epochs=1, device="cpu")
POINTS = 250
SINCE_LAST_SLOT = timedelta(minutes=10)
ERROR = "prices.csv, row 7: close is above high"
TRACEBACK = f"Traceback (most recent call last):\n  ...\nMarketDataError: {ERROR}"
MARKET = {"name": "sp500", "bars": 5031, "first": "1999-01-04", "last": "2018-12-31", "digest": "5e1d" * 16}


def store(hostile: bool) -> dict[str, Any]:
    for name in ("viewer", "operator", "admin"):
        user = User.objects.create_user(name, password=PASSWORD, is_staff=name == "admin")
        user.groups.add(Group.objects.get(name=name))
    User.objects.create_user("nobody", password=PASSWORD)
    # Off until a test wants it: the migration's policy is due from the first moment on.
    PolicyStore.objects.update(enabled=False, environment=SMALL, ppo=QUICK)
    history = PolicyStore.objects.create(name="trend_daily", environment=SMALL, ppo=QUICK)
    version, failed = store_history(history, 60, versions=3)
    live = PolicyStore.objects.create(name=LIVE, environment=SMALL, ppo=QUICK, episodes_per_run=LIVE_EPISODES)
    store_history(live, 12)
    long = PolicyStore.objects.create(
        name=LONG, environment=SMALL, ppo=QUICK, interval_minutes=1440, episodes_per_run=1000
    )
    store_history(long, 1)
    alert = store_alerts(history, live)
    return {"version": version, "failed": failed, "alert": alert, "hostile": store_hostile() if hostile else []}


def store_history(policy: PolicyStore, hours: int, versions: int = 0) -> tuple[int, str]:
    """A run in each hour; the newest version's number and a failed run's id.

    The last of them have a version, without its files: no worker can go on from it.
    """
    chance = random.Random(5)
    now = timezone.now()
    failed, number = "", 0
    for hour in range(hours, 0, -1):
        failure = hour % 14 == 3
        end = now - timedelta(hours=hour - 1) - SINCE_LAST_SLOT
        seconds = chance.lognormvariate(1.4, 0.3)
        rewards = [] if failure else [0.004 * (hours - hour) + chance.gauss(0, 0.05) for _ in range(4)]
        run = TrainingRun.objects.create(
            policy=policy,
            status="failed" if failure else "succeeded",
            trigger="schedule",
            attempt=1,
            scheduled_for=end - timedelta(seconds=seconds + 1),
            queued_at=end - timedelta(seconds=seconds + 1),
            started_at=end - timedelta(seconds=seconds),
            finished_at=end,
            duration_seconds=seconds,
            episodes=4,
            episodes_done=len(rewards),
            environment_steps=len(rewards) * 20_000,
            episode_rewards=rewards,
            avg_reward=None if failure else sum(rewards) / 4,
            final_reward=None if failure else rewards[-1],
            avg_policy_loss=None if failure else chance.gauss(-0.003, 0.001),
            avg_value_loss=None if failure else abs(chance.gauss(0.4, 0.05)),
            config=config(hour),
            market_summary=None if failure else MARKET,
            error=ERROR if failure else "",
            traceback=TRACEBACK if failure else "",
        )
        announce(run)
        failed = run.run_id if failure else failed
        if hour <= versions and not failure:
            number += 1
            PolicyVersion.objects.create(
                policy=policy, number=number, run=run, artifact="a", sha256="ab" * 32, evaluation=evaluation(chance)
            )
    finished = policy.runs.finished()
    policy.total_runs, policy.succeeded_runs = finished.count(), finished.filter(status="succeeded").count()
    policy.next_run_at = now + timedelta(hours=1) - SINCE_LAST_SLOT
    policy.save()
    return number, failed


def store_alerts(history: PolicyStore, live: PolicyStore) -> int:
    """One that is acknowledged and one that is not, whose id it is, for as long as no run of theirs ends."""
    known = {"acknowledged_at": timezone.now(), "acknowledged_by": User.objects.get(username="operator")}
    for policy, columns in ((live, known), (history, {})):
        found, _ = AlertRule.objects.get_or_create(policy=policy, kind="success_rate")
        AlertRule.objects.filter(pk=found.pk).update(threshold=0.95, window=12)
        message = "11 of the last 12 runs succeeded, 92%; at least 95% should."
        alert = Alert.objects.create(rule=found, policy=policy, kind=found.kind, message=message, **columns)
    return alert.pk


def config(hour: int) -> dict[str, Any]:
    """Of the run so many hours ago: one setting was changed once."""
    gamma = 0.99 if hour > 20 else 0.995
    return {
        "seed": hour,
        "episodes": 4,
        "market": {"source": "sp500"},
        "environment": SMALL.model_dump(mode="json"),
        "ppo": QUICK.model_dump(mode="json") | {"gamma": gamma},
    }


def announce(run: TrainingRun) -> None:
    for kind, moment in (("started", run.started_at), ("completed", run.finished_at)):
        TrainingEvent.objects.create(
            event_type=f"{run.policy.name}.training.{kind}",
            run=run,
            timestamp=moment,
            published_at=moment,
            payload={"run_id": run.run_id, "policy": run.policy.name, "error": run.error},
        )


def evaluation(chance: random.Random) -> dict[str, Any]:
    def account(drift: float, deviation: float) -> dict[str, Any]:
        curve = [1.0]
        for _ in range(POINTS - 1):
            curve.append(curve[-1] * (1 + chance.gauss(drift, deviation)))
        return {
            "total_return": curve[-1] - 1,
            "sharpe": 0.8,
            "sharpe_interval": [-0.4, 1.9],
            "sortino": 1.1,
            "max_drawdown": 0.12,
            "turnover": 14.2,
            "time_in_market": 0.7,
            "costs_paid": 0.01,
            "hit_rate": 0.53,
            "equity_curve": curve,
        }

    start = timezone.now() - timedelta(days=POINTS)
    flat = dict.fromkeys(("total_return", "max_drawdown", "turnover", "time_in_market", "costs_paid"), 0.0)
    return account(0.0006, 0.006) | {
        "bars": POINTS - 1,
        "annualisation": 252.0,
        "timestamps": [f"{start + timedelta(days=day):%Y-%m-%dT00:00:00Z}" for day in range(POINTS)],
        "buy_and_hold": account(0.0003, 0.01),
        "flat": flat | {"equity_curve": [1.0] * POINTS},
    }


def store_hostile() -> list[str]:
    """A policy, a run, an event and a version for each of `HOSTILE`, past all validation; the ids of the runs."""
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
    sys.stdout.write(json.dumps(store(hostile="--hostile" in sys.argv)))
