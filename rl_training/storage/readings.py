"""Readings of the used storage, and the forecast that follows from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from rl_training.models.storage.readings import DAILY_FOR, HOURLY_FOR, StorageReading
from rl_training.storage import usage

# The forecast uses the readings of FORECAST_DAYS, so that a weekly rhythm counts once. With less than a day of
# readings, the first writes of a new system would look like growth.
FORECAST_DAYS, SHORTEST = 7, timedelta(days=1)
# A forecast of a later date is not reliable.
LATEST = timedelta(days=3650)


@dataclass(frozen=True)
class Disk:
    """A disk, named by the setting of a folder on it. `full_at` is None if the disk does not fill up, or if unknown."""

    name: str
    total: int
    free: int
    full_at: datetime | None

    @property
    def free_share(self) -> float:
        return self.free / self.total if self.total else 0.0


def take(now: datetime) -> StorageReading:
    """Store a reading. Remove readings older than HOURLY_FOR, except the first of each day of the last DAILY_FOR."""
    reading = StorageReading.objects.create(at=now, usage=usage.parts(), disks=usage.disks())
    old = StorageReading.objects.filter(at__lt=now - HOURLY_FOR).order_by("at").values_list("pk", "at")
    first_of_days = {at.date(): pk for pk, at in reversed(old)}
    kept = {pk for pk, at in old if first_of_days[at.date()] == pk and at >= now - DAILY_FOR}
    StorageReading.objects.filter(at__lt=now - HOURLY_FOR).exclude(pk__in=kept).delete()
    return reading


def disks_now(now: datetime) -> list[Disk]:
    """Return the disks of this machine with their free bytes now, and the time at which each will be full."""
    readings = [*StorageReading.objects.since(now - timedelta(days=FORECAST_DAYS)).values_list("at", "disks")]
    return [_forecast(name, found, readings, now) for name, found in usage.disks().items()]


def disks_read(reading: StorageReading) -> list[Disk]:
    """Return the disks of a reading, perhaps of another machine, and the time at which each will be full."""
    since = StorageReading.objects.since(reading.at - timedelta(days=FORECAST_DAYS))
    readings = [*since.values_list("at", "disks")]
    return [_forecast(name, found, readings, reading.at) for name, found in reading.disks.items()]


def _forecast(
    name: str, found: dict[str, int], readings: Sequence[tuple[datetime, dict[str, dict[str, int]]]], now: datetime
) -> Disk:
    free = [(at, disks[name]["free"]) for at, disks in readings if name in disks]
    return Disk(name, found["total"], found["free"], full_at([*free, (now, found["free"])]))


def full_at(readings: Sequence[tuple[datetime, int]]) -> datetime | None:
    """Return when the disk will be full by a line fitted to its free bytes at these times; None if they do not fall."""
    last = readings[-1][0]
    if last - readings[0][0] < SHORTEST:
        return None
    days = np.array([(at - last).total_seconds() / 86_400 for at, _ in readings])
    growth = -float(np.polyfit(days, np.array([free for _, free in readings], np.float64), 1)[0])
    left = readings[-1][1] / growth if growth > 0 else np.inf
    return last + timedelta(days=left) if left <= LATEST.days else None


def growth_per_day(readings: Sequence[StorageReading]) -> float | None:
    """Return by how many bytes all parts together grow in a day; None with less than a day of readings."""
    if not readings or readings[-1].at - readings[0].at < SHORTEST:
        return None
    days = [(reading.at - readings[-1].at).total_seconds() / 86_400 for reading in readings]
    return float(np.polyfit(days, [float(reading.total) for reading in readings], 1)[0])
