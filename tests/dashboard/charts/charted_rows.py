"""Rows that the tests of the charts store."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rl_training.models import PolicyStore, TrainingRun

START = datetime(2026, 1, 1, tzinfo=UTC)
EVALUATION = {
    "equity_curve": [1.0, 0.9, 1.25],
    "timestamps": ["2018-01-02T00:00:00Z", "2018-01-03T00:00:00Z", "2018-01-04T00:00:00Z"],
    "buy_and_hold": {"equity_curve": [1.0, 1.1, 0.55]},
    "flat": {"equity_curve": [1.0, 1.0, 1.0]},
}


def store(policy: PolicyStore, number: int, **columns: Any) -> list[TrainingRun]:
    """Store the number of finished runs, one in each minute."""
    columns = {"status": "succeeded", "trigger": "schedule", "episodes": 2, "episodes_done": 2, "config": {}} | columns
    runs = [TrainingRun(policy=policy, finished_at=START + timedelta(minutes=n), **columns) for n in range(number)]
    return TrainingRun.objects.bulk_create(runs)
