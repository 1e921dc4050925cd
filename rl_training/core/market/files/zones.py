"""Finds the zone that a file names, and converts local times to UTC, also around changes of daylight saving time."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

from rl_training.core.market.bars import MarketDataError

# Offsets change at quarters of an hour.
QUARTER = 900
HOUR = 3600
# A column with one of these names holds the zone of each time.
COLUMNS_OF_ZONES = ("tz", "timezone", "time zone", "tzone", "utc offset", "gmt offset")
# Zones in the names of columns. Letters such as EST do not say whether the times have daylight saving.
IN_NAME = re.compile(
    r"(?<![A-Za-z])((?i:utc|gmt)(?: ?[+-]\d{1,2}(?::?\d\d)?)?|[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+|[+-]\d\d:?\d\d"
    r"|(?i:local|exchange|broker|server|eastern|central european|new york|london|moscow)|[ECMP]T"
    r"|(?i:[ecmp][sd]t|[ecw]es?t|mez|mesz|bst|ist|jst|kst|hkt|sgt|msk|aes?t|aed?t))(?![A-Za-z])"
)
FROM_UTC = re.compile(r"(?i)(?:utc|gmt)? ?(?:([+-])(\d{1,2}):?(\d\d)?)?")
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times


@cache
def named_zones() -> frozenset[str]:
    """Return the IANA zones whose names have a slash. Reading them takes 10 ms, so they are read once."""
    return frozenset(name for name in available_timezones() if "/" in name)


def zone_in_names(names: Sequence[str], of_times: Sequence[str]) -> str:
    """Return the zone that a header names, as it is written there; empty if it names none.

    `of_times` are the names of the columns of times. Another column may hold the zones of all times.
    """
    found = (zone.group(1) for name in of_times for zone in IN_NAME.finditer(name))
    # `Date/Time` is no zone.
    named = next((zone for zone in found if "/" not in zone or zone in named_zones()), "")
    return named or next((name for name in names if name.strip().casefold().replace("_", " ") in COLUMNS_OF_ZONES), "")


def known_zone(written: str) -> str:
    """Return the IANA name of a zone as a file writes it. Raises MarketDataError if the zone is not clear."""
    if written in named_zones():
        return written
    found = FROM_UTC.fullmatch(written)
    if found and (found.group(3) or "00") == "00" and int(found.group(2) or 0) <= 12:
        # The names of the IANA database have the opposite sign.
        sign = "-" if found.group(1) == "+" else "+"
        return f"Etc/GMT{sign}{int(found.group(2))}" if int(found.group(2) or 0) else "Etc/UTC"
    raise MarketDataError(
        f"the file has {written!r} for the zone of its times, which is neither a city nor a number of whole hours from "
        "UTC: set timezone, such as America/New_York, Europe/Helsinki or Etc/GMT+5"
    )


def to_utc(local: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """Return local times, in seconds and in the order of the file, as UTC.

    The hour that the end of daylight saving time repeats is resolved by the order of the rows, if the file has each of
    its times twice. Raises MarketDataError with the row if it does not, or if a time is in the hour that daylight
    saving time skips.
    """
    quarters, position = np.unique(local // QUARTER, return_inverse=True)
    offsets = np.array([_offsets(zone, int(quarter)) for quarter in quarters], np.int64).reshape(-1, 2)
    before, after = offsets[position].T
    if (skipped := before < after).any():
        row = int(skipped.argmax())
        raise MarketDataError(
            f"{_shown(local[row])} does not exist in {zone.key}, where clocks skip this hour when daylight "
            "saving time begins; name another timezone, or write the times in UTC",
            row=row + 1,
        )
    utc: NDArray[np.int64] = local - before
    repeated = np.flatnonzero(before > after)
    if not len(repeated):
        return utc
    ascending = local[-1] >= local[0]
    order = repeated if ascending else repeated[::-1]
    later: dict[int, int] = {}
    for row in order.tolist():
        later[int(local[row])] = later.get(int(local[row]), 0) + 1
        if later[int(local[row])] == 2:
            utc[row] = local[row] - after[row]
    if once := [row for row in order.tolist() if later[int(local[row])] != 2]:
        row = min(once)
        raise MarketDataError(
            f"{_shown(local[row])} occurs twice in {zone.key}, in the hour that the end of daylight saving time "
            f"repeats, and the file has it {later[int(local[row])]} times: write the times in UTC or with their offset",
            row=row + 1,
        )
    return utc


def may_repeat_an_hour(local: int) -> bool:
    """Return whether daylight saving time may end at this local time, on either half of the Earth."""
    time = EPOCH + timedelta(seconds=local)
    return time.weekday() == 6 and time.month in (3, 4, 9, 10, 11) and time.hour < 4


def _offsets(zone: ZoneInfo, quarter: int) -> tuple[int, int]:
    """Return the offsets from UTC, in seconds, of the first and the second occurrence of a local time."""
    time = EPOCH + timedelta(seconds=quarter * QUARTER)
    first, second = (time.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    return int(first.total_seconds()), int(second.total_seconds())


def _shown(seconds: np.int64) -> str:
    return str(np.datetime64(int(seconds), "s")).replace("T", " ")
