"""Timestamps as people write them: epochs of any unit, ISO 8601, compact dates, day or month first, names of months."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.columns import (
    EARLIEST_EPOCH,
    EPOCH,
    LONGEST_VALUE,
    as_mask,
    as_numpy,
    cell_text,
    epoch_seconds,
    is_number,
    offset_in,
    shown,
    trimmed,
    whole_seconds,
)
from rl_training.core.market.files.zones import named_zones
from rl_training.core.market.valid_times import Convert, convertible, have_form_of_dates, have_form_of_epochs

# Many programs write a missing date as the year 1 or similar. No exchange has prices older than this year.
EARLIEST = np.datetime64("1800-01-01", "s")
# A time without a timezone may be local time, which is at most 14 hours ahead of UTC.
LOCAL_AHEAD_OF_UTC = timedelta(hours=14)

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ONLY_DIGITS = r"^\d{1,6}$"
COMPACT = re.compile(r"(1[89]|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])([ T]?(\d{4}(\d\d)?|\d\d:\d\d(:\d\d)?))?")
# A zone of the database, or letters such as EST, which the setting `timezone` makes clear.
ZONE = re.compile(r" ?[ \[]([A-Z][A-Za-z]+/[A-Z][A-Za-z_]+|[A-Z]{1,4}T)\]?$")
HALF_DAY = re.compile(r"(?i)\d[ -]?[ap]\.?m\.?$")
# Applied in order. Each changes one part of a date to ISO 8601; a cell in ISO 8601 remains unchanged.
TO_ISO = (
    (r"[\x{00a0}\x{202f}]", " "),
    (r"\s*,\s*", " "),
    (r"\s+", " "),
    (r"^\w{3,9}day |^(?i:mon|tue|wed|thu|fri|sat|sun) ", ""),
    (r"^((?:1[89]|20|21)\d\d)(\d\d)(\d\d)[ T]?(\d\d):?(\d\d):?(\d\d)$", r"\1-\2-\3 \4:\5:\6"),
    (r"^((?:1[89]|20|21)\d\d)(\d\d)(\d\d)[ T]?(\d\d):?(\d\d)$", r"\1-\2-\3 \4:\5"),
    (r"^((?:1[89]|20|21)\d\d)(\d\d)(\d\d)T?$", r"\1-\2-\3"),
    (r"^(\d{4}) ?[-./年] ?(\d{1,2}) ?[-./月] ?(\d{1,2})[.日]?(\D|$)", r"\1-\2-\3\4"),
    (r"\b(\d)\b", r"0\1"),
    (r"^(\d{4}-\d\d-\d\d|\d\d[./-]\d\d[./-]\d{2,4})[T;_](\d)", r"\1 \2"),
    (r"^(\d{4}-\d\d-\d\d|\d\d[./-]\d\d[./-]\d{2,4}) (\d\d)(\d\d)(\d\d)$", r"\1 \2:\3:\4"),
    (r"^(\d{4}-\d\d-\d\d|\d\d[./-]\d\d[./-]\d{2,4}) (\d\d)(\d\d)$", r"\1 \2:\3"),
    (r" ?(?:GMT|UTC)?([+-]\d\d:?\d\d)$", r"\1"),
    (r"(\d) ?(?:UTC|GMT|Z)$", r"\1Z"),
    (r"(\.\d{6})\d+", r"\1"),
)


@dataclass(frozen=True)
class TimeFormat:
    """The format of the timestamps of a file.

    epoch      true: the time since 1970, in a unit that its size shows
    offset     true: each timestamp has its offset from UTC
    zone       the name of a zone that each timestamp ends with, such as US/Eastern
    day_first  for dates such as 1/2/2024: whether the day comes first; None for other dates
    year_first true: dates are such as 24/2/1 or 24-Feb-01
    month_names  true: the month is a name, as in 1 Feb 2024
    half_days  true: times have am or pm
    """

    epoch: bool = False
    offset: bool = False
    zone: str = ""
    day_first: bool | None = None
    year_first: bool = False
    month_names: bool = False
    half_days: bool = False

    @property
    def naive(self) -> bool:
        """Whether the timestamps do not say how far they are from UTC."""
        return not (self.epoch or self.offset)

    @classmethod
    def of(cls, text: str) -> "TimeFormat":
        """Return the format of a cell. For dates such as 1/2/2024, it is not known yet whether the day is first."""
        text = text.strip()
        if len(text) > LONGEST_VALUE:
            return cls()
        if EPOCH.fullmatch(text) and not COMPACT.fullmatch(text):
            return cls(epoch=True)
        zone = ZONE.search(text)
        if zone and not _is_zone(zone.group(1), text):
            zone = None
        iso = _plain_iso(text.removesuffix(zone.group()) if zone else text)
        offset = offset_in(iso)
        names = re.search(r"(?i)[a-z]{3}", iso) is not None
        return cls(
            offset=offset is not None,
            zone=zone.group(1) if zone else "",
            day_first=None,
            month_names=names,
            half_days=HALF_DAY.search(text) is not None,
        )

    def seconds(self, column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the cells as seconds since 1970, in UTC or in a zone not known yet, and which cells are no timestamps.

        Raises MarketDataError if the column cannot hold timestamps.
        """
        column, convert = self._conversion(trimmed(column))
        if not column.null_count:
            try:
                return convert(column), np.zeros(len(column), np.bool_)
            except (pa.ArrowInvalid, ValueError):
                pass
        valid = ~as_numpy(column.is_null())
        known = column.filter(as_mask(valid))
        valid[np.flatnonzero(valid)] = convertible(known, self._form(known), convert)
        seconds = np.zeros(len(column), np.int64)
        if valid.any():
            seconds[valid] = convert(column.filter(as_mask(valid)))
        return seconds, ~valid

    def refuse(self, column: pa.Array, cell: int, row: int) -> None:
        """Raise MarketDataError for a cell that is no timestamp, at `row` of the file."""
        column, convert = self._conversion(trimmed(column))
        if not column[cell].is_valid or not (text := cell_text(column, cell)):
            raise MarketDataError("timestamp is empty", row=row)
        try:
            convert(column[cell : cell + 1])
        except MarketDataError as error:
            error.row = row
            raise
        except (pa.ArrowInvalid, ValueError):
            pass
        if self.epoch:
            raise MarketDataError(f"timestamp {shown(text)} is no epoch, but the first row's is", row=row)
        if not self.offset and len(text) <= LONGEST_VALUE and offset_in(_plain_iso(text)):
            rule = "has a timezone, the first row's has none; write all of them in UTC"
            raise MarketDataError(f"timestamp {shown(text)} {rule}", row=row)
        written = " as the first row's is" if self.month_names or self.day_first is not None else ""
        rule = f"is not a date{written}, such as 2020-01-31 or 2020-01-31 12:00"
        raise MarketDataError(f"timestamp {shown(text)} {rule}", row=row)

    def _form(self, column: pa.Array) -> NDArray[np.bool_]:
        """Return which cells have the form of a timestamp; other cells are no timestamps."""
        if pa.types.is_temporal(column.type):
            return np.ones(len(column), np.bool_)
        if self.epoch or not pa.types.is_string(column.type):
            return have_form_of_epochs(column)
        return have_form_of_dates(self._as_iso(column)[0], offset=self.offset)

    def _conversion(self, column: pa.Array) -> tuple[pa.Array, Convert]:
        kind = column.type
        if pa.types.is_date(kind):
            return column.cast(pa.timestamp("s")), lambda known: whole_seconds(known, "s", 1)
        if pa.types.is_timestamp(kind):
            return column, lambda known: whole_seconds(known, kind.unit, 1)
        if is_number(kind):
            if not is_compact(column):
                return column, lambda known: epoch_seconds(known, 1)
            column = column.cast(pa.int64()).cast(pa.string())
        elif not pa.types.is_string(kind):
            raise MarketDataError(f"column timestamp holds {kind}; an epoch or a date is needed")
        return column, (lambda known: epoch_seconds(known, 1)) if self.epoch else self._whole

    def _whole(self, column: pa.Array) -> NDArray[np.int64]:
        target = pa.timestamp("us", "UTC" if self.offset else None)
        try:
            instants = column.cast(target, safe=False)
            return whole_seconds(instants, "us", 1)
        except pa.ArrowInvalid:
            pass
        column, late, early = self._as_iso(column)
        seconds = whole_seconds(column.cast(target, safe=False), "us", 1)
        hour = seconds // 3600 % 24
        moved: NDArray[np.int64] = seconds + 43_200 * (late & (hour < 12)) - 43_200 * (early & (hour == 12))
        return moved

    def _as_iso(self, column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the cells as ISO 8601, which of them have PM, and which have AM."""
        if self.zone:
            # A column with offsets, or with letters such as EST and EDT, may have several zones.
            letters = "[A-Z]{1,4}T" if "/" not in self.zone else r"[\w/+-]+" if self.offset else re.escape(self.zone)
            column = pc.replace_substring_regex(column, rf" ?[ \[]{letters}\]?$", "")
        late = as_numpy(pc.match_substring_regex(column, r"(?i)\d[ -]?p\.?m\.?$"))
        early = as_numpy(pc.match_substring_regex(column, r"(?i)\d[ -]?a\.?m\.?$"))
        if late.any() or early.any():
            column = pc.replace_substring_regex(column, r"(?i)[ -]?[ap]\.?m\.?$", "")
        if self.month_names:
            column = _without_month_names(column, year_first=self.year_first)
        for pattern, instead in TO_ISO:
            column = pc.replace_substring_regex(column, pattern, instead)
        if self.year_first:
            column = pc.replace_substring_regex(column, r"^([0-6]\d)[./-](\d\d)[./-](\d\d)\b", r"20\1-\2-\3")
            column = pc.replace_substring_regex(column, r"^([7-9]\d)[./-](\d\d)[./-](\d\d)\b", r"19\1-\2-\3")
        # RE2 has no look-ahead, so two-digit years are found by the end of the word.
        column = pc.replace_substring_regex(column, r"^(\d\d[./-]\d\d[./-])([0-6]\d)\b", r"\120\2")
        column = pc.replace_substring_regex(column, r"^(\d\d[./-]\d\d[./-])([7-9]\d)\b", r"\119\2")
        order = r"\3-\2-\1" if self.day_first else r"\3-\1-\2"
        return pc.replace_substring_regex(column, r"^(\d\d)[./-](\d\d)[./-](\d{4})", order), late, early


def refuse_impossible_times(time: NDArray[np.datetime64]) -> None:
    """Raise MarketDataError for the first timestamp in the future or in a distant past."""
    latest = np.datetime64((datetime.now(UTC) + LOCAL_AHEAD_OF_UTC).replace(tzinfo=None), "s")
    for impossible, rule in ((time > latest, "is in the future"), (~(time >= EARLIEST), f"is before {EARLIEST}")):
        if impossible.any():
            row = int(impossible.argmax())
            raise MarketDataError(f"timestamp {time[row]} {rule}", row=row + 1)


def join_date_and_time(dates: pa.Array, times: pa.Array, digits: int) -> pa.Array:
    """Return the cells of a date column and a time column as one text each.

    Programs that read 093000 as a number write 93000: times of digits alone get leading zeros, up to `digits`.
    """
    columns = []
    for column in (trimmed(dates), trimmed(times)):
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.date32())
        columns.append(column.cast(pa.string()).fill_null(""))
    date_cells, time_cells = columns
    bare = as_numpy(pc.match_substring_regex(time_cells, ONLY_DIGITS))
    if bare.any():
        time_cells = pc.if_else(as_mask(bare), pc.ascii_lpad(time_cells, width=digits, padding="0"), time_cells)
    return pc.binary_join_element_wise(date_cells, time_cells, " ")


def _plain_iso(text: str) -> str:
    for pattern, instead in TO_ISO:
        python = re.sub(r"\\x\{([0-9a-f]{4})\}", r"\\u\1", pattern)
        text = re.sub(python, instead, text)
    return text


def _is_zone(written: str, text: str) -> bool:
    # GMT is read as an offset, and letters without a time may be a day of the week.
    return written in named_zones() if "/" in written else written != "GMT" and ":" in text


def _without_month_names(column: pa.Array, *, year_first: bool) -> pa.Array:
    """Return dates such as `Jul 31, 2018` and `31-Jul-18` as 2018-07-31."""
    for number, name in enumerate(MONTHS, 1):
        column = pc.replace_substring_regex(column, rf"(?i)\b{name}[a-z]*\.?", f"@{number:02}@")
    column = pc.replace_substring_regex(column, r"^(?i:[a-z]{3,9}),? ", "")
    column = pc.replace_substring_regex(column, r"^@(\d\d)@[ -]*(\d{1,2}),?[ -]+(\d{4})", r"\3-\1-\2")
    column = pc.replace_substring_regex(column, r"^(\d{1,2})[ -/.]*@(\d\d)@[ -/.,]*(\d{4})", r"\3-\2-\1")
    if year_first:
        column = pc.replace_substring_regex(column, r"^([0-6]\d)[ -/.]*@(\d\d)@[ -/.,]*(\d\d?)\b", r"20\1-\2-\3")
        column = pc.replace_substring_regex(column, r"^([7-9]\d)[ -/.]*@(\d\d)@[ -/.,]*(\d\d?)\b", r"19\1-\2-\3")
    column = pc.replace_substring_regex(column, r"^(\d{1,2})[ -/.]*@(\d\d)@[ -/.,]*([0-6]\d)\b", r"20\3-\2-\1")
    column = pc.replace_substring_regex(column, r"^(\d{1,2})[ -/.]*@(\d\d)@[ -/.,]*([7-9]\d)\b", r"19\3-\2-\1")
    return pc.replace_substring_regex(column, r"^(\d{4})[ -]*@(\d\d)@[ -]*(\d{1,2})", r"\1-\2-\3")


def is_compact(column: pa.Array) -> bool:
    """Return whether the first number of a column is a date such as 20240131."""
    known = column.drop_null()
    if not len(known) or not is_number(column.type) or pa.types.is_decimal(column.type):
        return False
    value = known[0].as_py()
    return bool(value == value and abs(value) < EARLIEST_EPOCH and COMPACT.fullmatch(f"{value:.0f}"))
