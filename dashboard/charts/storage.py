"""The chart of the used storage."""

from collections.abc import Sequence

from dashboard.charts.series import Chart, Series
from rl_training.models import StorageReading

GB = 1e9
# The parts that grow most have a line of their own.
SHOWN = {"database": "Database", "weights": "Weights"}


def used(readings: Sequence[StorageReading]) -> Chart | None:
    """Return the chart of what the system used at each reading, the oldest first; None below two readings."""
    if len(readings) < 2:
        return None
    series = [Series("In all", [reading.total / GB for reading in readings])]
    for (part, label), colour in zip(SHOWN.items(), ("reference", "third"), strict=True):
        values = [reading.usage[part] / GB if part in reading.usage else None for reading in readings]
        series.append(Series(label, values, colour=colour))  # type: ignore[arg-type]
    first, last = readings[0], readings[-1]
    summary = (
        f"{len(readings):,} readings, {first.at:%Y-%m-%d} to {last.at:%Y-%m-%d}. "
        f"In all from {first.total / GB:,.2f} to {last.total / GB:,.2f} GB."
    )
    x = [reading.at.timestamp() for reading in readings]
    return Chart("Used storage, GB", summary, "Reading", x, tuple(series), time=True)
