"""The page *Storage*: what the system uses, how it grows, and when a disk will be full."""

from datetime import datetime
from typing import Any

from django.conf import settings

from dashboard.access import Page
from dashboard.charts.storage import used
from dashboard.templatetags.figures import in_bytes
from rl_training.models import StorageReading
from rl_training.storage.readings import Disk, disks_read, growth_per_day

VIEW_STORAGE = "rl_training.view_storagereading"
LABELS = {
    "database": ("Database", "RUNS_KEPT, RUN_DETAILS_KEPT, EVENT_RETENTION_DAYS; decisions and their bars stay"),
    "weights": ("Weights of versions", "VERSIONS_KEPT, VERSIONS_KEPT_DAILY_DAYS; live and compared versions stay"),
    "bars": ("Bars of runs", "BARS_RETENTION_DAYS, BARS_KEPT"),
    "checkpoints": ("Checkpoints", "EVENT_RETENTION_DAYS"),
    "market": ("Market files", "users remove them"),
    "redis": ("Redis", "EVENT_RETENTION_DAYS"),
    "logs": ("Logs", "LOG_FILES_MB"),
}
SETTINGS = (
    *("RUNS_KEPT", "RUN_DETAILS_KEPT", "VERSIONS_KEPT", "VERSIONS_KEPT_DAILY_DAYS", "BARS_RETENTION_DAYS", "BARS_KEPT"),
    *("EVENT_RETENTION_DAYS", "SETTINGS_HISTORY_KEPT", "ALERT_RETENTION_DAYS", "LOG_FILES_MB"),
)


class StoragePage(Page):
    """The page: the use of each part, the free space, and the settings of retention."""

    permission_required = VIEW_STORAGE
    template_name = "dashboard/storage.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        readings = list(StorageReading.objects.order_by("at"))
        newest = readings[-1] if readings else None
        disks = disks_read(newest) if newest else []
        growth = growth_per_day([reading for reading in readings if newest and (newest.at - reading.at).days < 7])
        return super().get_context_data(
            newest=newest,
            disks=disks,
            growth=growth_of(growth),
            sentence=sentence_of(disks, known=growth is not None),
            parts=[(*LABELS[part], newest.usage[part]) for part in LABELS if newest and part in newest.usage],
            kept=[(name, getattr(settings, name)) for name in SETTINGS],
            chart=used(readings),
            **kwargs,
        )


def growth_of(bytes_per_day: float | None) -> str:
    """Return how the parts grow or shrink, as the continuation of `The system uses 1 GB`."""
    if bytes_per_day is None:
        return ""
    return f" and {'grows' if bytes_per_day >= 0 else 'shrinks'} by {in_bytes(abs(bytes_per_day))} a day"


def sentence_of(disks: list[Disk], *, known: bool) -> str:
    """Return a sentence about when the first disk will be full. `known` says that the readings cover at least a day."""
    if not known:
        return "When a disk will be full is known after a day of readings."
    filling: list[tuple[datetime, str]] = [(disk.full_at, disk.name) for disk in disks if disk.full_at]
    if not filling:
        return "By the readings of the last week, no disk will be full within ten years."
    full_at, name = min(filling)
    return f"The disk of {name} will be full on {full_at:%Y-%m-%d} if its use grows as in the last week."
