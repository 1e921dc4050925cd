"""Timestamps as text for programs."""

from datetime import UTC, datetime


def utc_text(time: datetime) -> str:
    """Return an aware time as ISO 8601 in UTC with microseconds and `Z`: 2025-01-31T12:00:00.123456Z."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
