"""Timestamps in queries: how they are parsed, and which ones every supported database can hold."""

import re
from datetime import UTC, datetime

WANTED = "A timestamp with its offset, such as 2026-01-31T12:00:00Z, in the years 1970 to 2999."
# RFC 3339. `datetime.fromisoformat` also accepts dates alone, ISO weeks and times without an offset.
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_timestamp(text: str) -> datetime:
    """Return the RFC 3339 timestamp `text` in UTC.

    Raises `ValueError` for other texts and for timestamps that not every database can hold.
    """
    try:
        timestamp = in_utc(datetime.fromisoformat(text.upper())) if RFC_3339.fullmatch(text) else None
    except ValueError:
        timestamp = None
    if timestamp is None:
        raise ValueError(WANTED)
    return timestamp


def in_utc(timestamp: datetime) -> datetime | None:
    """Return `timestamp` in UTC, or None if not every database can hold it."""
    try:
        timestamp = timestamp.astimezone(UTC)
    except OverflowError:
        return None
    return timestamp if 1970 <= timestamp.year <= 2999 else None
