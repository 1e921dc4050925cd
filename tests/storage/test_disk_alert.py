from datetime import timedelta

import pytest

from rl_training.alerts.kinds import Kind
from rl_training.models import StorageReading
from rl_training.storage import usage

DAY = timedelta(days=1)
DISK = {"STATE_DIR": {"total": 1_000_000_000, "free": 400_000_000}}


@pytest.fixture
def watched_disk(monkeypatch):
    """Let the disk of this machine be DISK."""
    monkeypatch.setattr(usage, "disks", lambda: DISK)


@pytest.mark.django_db(transaction=True)
def test_disk_that_fills_up_within_the_days_opens_an_alert(watched, watched_disk):
    watched.rule(Kind.DISK_FULL)
    for days, free in ((2, 440_000_000), (1, 420_000_000)):
        disks = {"STATE_DIR": DISK["STATE_DIR"] | {"free": free}}
        StorageReading.objects.create(at=watched.now - days * DAY, usage={}, disks=disks)
    assert watched.round() == ["open"]
    message = f"40%, of the disk of STATE_DIR is free; it will be full on {watched.now + 20 * DAY:%Y-%m-%d}."
    assert message in watched.receiver.messages[0]["message"]
    StorageReading.objects.all().delete()
    assert watched.round() == ["resolved"]


@pytest.mark.django_db(transaction=True)
def test_disk_with_too_little_free_opens_an_alert(watched, watched_disk, monkeypatch):
    watched.rule(Kind.DISK_FULL, window=50)
    assert watched.round() == ["open"]
    monkeypatch.setattr(usage, "disks", lambda: {"STATE_DIR": {"total": 100, "free": 60}})
    assert watched.round() == ["resolved"]
