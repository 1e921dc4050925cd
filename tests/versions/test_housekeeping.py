from datetime import datetime

import pytest
from django.utils import timezone

from celery_app import app
from rl_training.schedule.scheduler import PolicyStoreScheduler
from rl_training.versions import bars_retention, housekeeping, weights_retention

pytestmark = pytest.mark.django_db(transaction=True)


def test_stored_files_are_pruned_once_a_minute(streams, artifact_root, monkeypatch):
    calls = []
    monkeypatch.setattr(bars_retention, "remove_unneeded", lambda now: calls.append("bars"))
    monkeypatch.setattr(weights_retention, "remove_old", lambda now: calls.append("weights"))
    for _ in range(2):
        housekeeping.maintain(timezone.now())
    assert calls == ["bars", "weights"]
    assert 55_000 < streams.pttl(housekeeping.LOCK) <= 60_000


def test_beat_prunes_the_stored_files(streams, policy, artifact_root, monkeypatch):
    calls: list[datetime] = []
    monkeypatch.setattr(housekeeping, "maintain", calls.append)
    now = timezone.now()
    PolicyStoreScheduler(app).do_housekeeping(now)
    assert calls == [now]
