"""Moments in queries."""

import re
from datetime import UTC, datetime

WANTED = "A moment with its offset, as 2026-01-31T12:00:00Z, of the years 1970 to 2999."
# RFC 3339. Python takes more: dates alone, weeks, moments without an offset.
WRITTEN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def moment_of(text: str) -> datetime:
    """In UTC. Raises `ValueError` for what is no moment, or one that not every database can hold."""
    try:
        moment = in_utc(datetime.fromisoformat(text.upper())) if WRITTEN.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise ValueError(WANTED)
    return moment


def in_utc(moment: datetime) -> datetime | None:
    """None for one that not every database can hold."""
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        return None
    return moment if 1970 <= moment.year <= 2999 else None
