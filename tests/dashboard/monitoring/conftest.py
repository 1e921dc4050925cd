from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone

from rl_training.models import Arm, FollowedMarket, PolicyStore, StorageReading, TrainingRun
from rl_training.runs import lifecycle
from tests.active_runs import claimed_run as started
from tests.test_totals import VERSION

TOKEN = "a token for tests"


@pytest.fixture
def scrape(client: Client, settings: Any) -> Callable[[], Any]:
    """Return a function that requests /metrics with METRICS_TOKEN."""
    settings.METRICS_TOKEN = TOKEN
    return lambda: client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture
def history(policy: PolicyStore, streams: redis.Redis) -> PolicyStore:
    """Store two runs that succeeded, a failed one and a queued one."""
    for reward in (-0.3, 0.04):
        run = started(policy)
        outcome = lifecycle.Outcome({"avg_reward": reward}, VERSION | {"artifact": run.run_id})
        lifecycle.succeed(run, outcome)
    lifecycle.fail(started(policy), "no bars")
    lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False)
    TrainingRun.objects.active().update(queued_at=timezone.now() - timedelta(minutes=5))
    return policy


def read_storage() -> None:
    """Store two readings, a day apart, between which a tenth of the disk filled up."""
    for days, free in ((1, 600), (0, 500)):
        at, disks = timezone.now() - timedelta(days=days), {"STATE_DIR": {"total": 1000, "free": free}}
        StorageReading.objects.create(at=at, usage={"database": 300 - free // 10}, disks=disks)


def follow_market(policy: PolicyStore, *, newest_at: datetime, failures: int) -> None:
    """Let the policy decide on hourly bars, the newest of which opened at `newest_at`."""
    market = FollowedMarket.objects.create(
        identity="a", config={}, label="m.csv", spacing=3600, newest_at=newest_at, failures=failures
    )
    Arm.objects.create(policy=policy, kind="live", market=market, rules={}, opened_at=newest_at)
