"""Readings of how much storage the system uses."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models

# With 400 daily readings, a chart shows more than a year. Hourly ones are needed only for the forecast.
HOURLY_FOR, DAILY_FOR = timedelta(days=8), timedelta(days=400)


class StorageReadingQuerySet(models.QuerySet["StorageReading"]):
    def since(self, time: datetime) -> StorageReadingQuerySet:
        """Select the readings from `time` on, the oldest first."""
        return self.filter(at__gte=time).order_by("at")

    def newest(self) -> StorageReading | None:
        return self.order_by("-at").first()


class StorageReading(models.Model):
    """The used storage of the system's parts and the free storage at a time. Only `storage/readings.py` writes it."""

    at = models.DateTimeField(unique=True)
    usage = models.JSONField(help_text="Bytes by part; a part that could not be read is missing.")
    disks = models.JSONField(help_text="Total and free bytes of each disk, by the setting of a folder on it.")

    objects = StorageReadingQuerySet.as_manager()

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"storage at {self.at:%Y-%m-%d %H:%M}"

    @property
    def total(self) -> int:
        """The bytes of all parts."""
        return sum(self.usage.values())
