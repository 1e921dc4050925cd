"""Readings of the used storage, and the forecast."""

from datetime import UTC, datetime, timedelta

import pytest

from rl_training.alerts.tasks import read_storage
from rl_training.models import StorageReading
from rl_training.storage import readings, usage
from rl_training.storage.readings import full_at

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def falling(by: int, days: int = 4) -> list[tuple[datetime, int]]:
    return [(NOW - day * DAY, 1000 + day * by) for day in range(days - 1, -1, -1)]


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (falling(100), NOW + 10 * DAY),
        (falling(0), None),
        (falling(-100), None),
        (falling(100, days=1), None),
    ],
)
def test_disk_is_full_where_the_line_through_its_readings_ends(free, expected):
    found = full_at(free)
    assert (found is None) == (expected is None)
    assert found is None or abs(found - expected) < timedelta(minutes=1)


def test_folder_counts_all_files_below_it_and_follows_no_link(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(b"x" * 5000)
    (tmp_path / "link").symlink_to("/usr")
    assert usage.folder_bytes(tmp_path) in range(5000, 20_000)
    assert usage.folder_bytes(tmp_path / "missing") == 0


@pytest.mark.django_db
def test_reading_names_the_parts_that_are_here_and_the_disk(artifact_root, settings, tmp_path):
    settings.STATE_DIR = tmp_path
    (tmp_path / "redis").mkdir()
    (artifact_root / "market-bars").mkdir(parents=True)
    (artifact_root / "market-bars" / "a.npz").write_bytes(b"x" * 9000)
    read_storage()
    reading = StorageReading.objects.get()
    assert {*reading.usage} == {"database", "weights", "bars", "checkpoints", "market", "redis"}
    assert reading.usage["bars"] >= 9000 > reading.usage["weights"]
    assert reading.usage["database"] > 100_000
    disk = reading.disks["STATE_DIR"]
    assert 0 < disk["free"] < disk["total"]
    assert reading.total == sum(reading.usage.values())


@pytest.mark.django_db
def test_hourly_readings_stay_for_eight_days_and_daily_ones_for_400(monkeypatch):
    monkeypatch.setattr(usage, "parts", dict)
    for hours in range(0, 24 * 410, 12):
        StorageReading.objects.create(at=NOW - timedelta(hours=hours + 1), usage={}, disks={})
    readings.take(NOW)
    ages = [(NOW - at).total_seconds() / 86_400 for at in StorageReading.objects.values_list("at", flat=True)]
    assert sum(age <= 8 for age in ages) == 17
    assert sum(8 < age <= 400 for age in ages) in (392, 393)
    assert max(ages) <= 400
