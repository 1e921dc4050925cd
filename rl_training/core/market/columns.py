"""Columns of a market file: finds those that hold the bars, and converts their cells to numbers and timestamps."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rl_training.core.market.bars import COLUMNS, MarketDataError

# In order of preference. An epoch comes first, because it is UTC by definition, while a date may be local time.
TIMESTAMP_NAMES = (
    *("unix", "epoch", "unix_time", "unix_timestamp", "timestamp"),
    *("open_time", "datetime", "date_time", "date", "time"),
)

# A smaller number is more likely a date without dashes (20200131, 202001311200) or a row number than an epoch.
EARLIEST_EPOCH = int(np.datetime64("1980-01-01", "s").astype(np.int64))
# The size of an epoch shows its unit: 10^11 is the year 5138 in seconds, and 1973 in milliseconds.
MILLISECONDS_FROM, MICROSECONDS_FROM, NANOSECONDS_FROM = 10**11, 10**14, 10**17
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

# Characters of a number or a timestamp. Longer cells are not matched with Python's regular expressions, because some of
# them take time that grows with the square of the length.
LONGEST_VALUE = 64
EPOCH = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
OFFSET = re.compile(r":\d\d.*?(Z|[+-]\d\d(:?\d\d)?)$")


def locate_columns(names: Sequence[str]) -> dict[str, int]:
    """Return the positions of timestamp, open, high, low, close and volume in a file's header.

    Other columns are ignored, as is case; spaces and dashes count as underscores. Raises MarketDataError that names
    missing and repeated columns.
    """
    plain = [re.sub(r"[\s-]", "_", name.strip().casefold()) for name in names]
    timestamp = next((name for name in TIMESTAMP_NAMES if name in plain), "timestamp")
    wanted = {"timestamp": timestamp} | {field: field for field in COLUMNS[1:]}
    found = f"the header has {', '.join(shown(name) for name in names[:20]) or 'no columns'}"
    if missing := [field for field, name in wanted.items() if name not in plain]:
        if "timestamp" in missing:
            missing[0] = f"timestamp (or {', '.join(name for name in TIMESTAMP_NAMES if name != 'timestamp')})"
        separator = next((sign for sign in ";\t|" if len(names) == 1 and sign in names[0]), "")
        hint = f"; columns must be separated by commas, not {separator!r}" if separator else ""
        raise MarketDataError(f"no column is named {', '.join(missing)}; {found}{hint}")
    for name in wanted.values():
        if plain.count(name) > 1:
            raise MarketDataError(f"{plain.count(name)} columns are named {name}; {found}")
    return {field: plain.index(name) for field, name in wanted.items()}


def to_numbers(column: pa.Array, field: str, first_row: int) -> NDArray[np.float64]:
    """Return the cells as float64, [cells]. `first_row` is the row of the first cell in the file, for the error."""
    column = _plain(column, field, first_row)
    if not (pa.types.is_string(column.type) or is_number(column.type)):
        raise MarketDataError(f"column {field} holds {column.type}; numbers are needed")
    return as_numpy(_cast(column, pa.float64(), field, first_row))


@dataclass(frozen=True)
class TimestampFormat:
    """The format of all timestamps of a file, as found in its first cell.

    epoch   true: the time since 1970 in seconds, milliseconds, microseconds or nanoseconds, distinguished by size.
            false: ISO 8601
    offset  the offset from UTC of ISO 8601 timestamps; if empty, they are UTC
    """

    epoch: bool = False
    offset: str = ""

    @classmethod
    def of(cls, column: pa.Array) -> "TimestampFormat":
        """Return the format of a column's first cell."""
        text = cell_text(_plain(column, "timestamp", 1), 0)
        offset = offset_in(text)
        return cls(epoch=EPOCH.fullmatch(text) is not None, offset=offset.group(1) if offset else "")

    def seconds(self, column: pa.Array, first_row: int) -> NDArray[np.int64]:
        """Return the cells as seconds since 1970, UTC. `first_row` is the row of the first cell, for the error."""
        column = _plain(column, "timestamp", first_row)
        kind = column.type
        if pa.types.is_date(kind):
            return whole_seconds(column.cast(pa.timestamp("s")), "s", first_row)
        if pa.types.is_timestamp(kind):
            return whole_seconds(column, kind.unit, first_row)
        if is_number(kind) or (self.epoch and pa.types.is_string(kind)):
            return epoch_seconds(column, first_row)
        if not pa.types.is_string(kind):
            raise MarketDataError(f"column timestamp holds {kind}; an epoch or a date is needed")
        if self.offset:
            self._refuse_other_offsets(column, first_row)
        # For a format without offset, the cast refuses cells that have one.
        instants = _cast(column, pa.timestamp("us", "UTC" if self.offset else None), "timestamp", first_row)
        return whole_seconds(instants, "us", first_row)

    def _refuse_other_offsets(self, column: pa.Array, first_row: int) -> None:
        other = ~as_numpy(pc.ends_with(column, pattern=self.offset))
        if other.any():
            cell = int(other.argmax())
            rule = f"timestamp {shown(cell_text(column, cell))} is not at offset {self.offset} like the first row's"
            raise MarketDataError(f"{rule}; write all of them in UTC", row=first_row + cell)


def offset_in(text: str) -> re.Match[str] | None:
    """Return the match whose first group is a timestamp's offset from UTC."""
    return OFFSET.search(text) if len(text) <= LONGEST_VALUE else None


def shown(text: str) -> str:
    """Return a piece of a file for an error message: shortened, with control characters escaped."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def _plain(column: pa.Array, field: str, first_row: int) -> pa.Array:
    """Return the column without dictionary encoding and without blanks around text. Refuses nulls."""
    column = trimmed(column)
    if column.null_count:
        empty = as_numpy(column.is_null())
        raise MarketDataError(f"{field} is empty", row=first_row + int(empty.argmax()))
    return column


def trimmed(column: pa.Array) -> pa.Array:
    """Return the column without dictionary encoding and without blanks around text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return pc.ascii_trim_whitespace(column) if pa.types.is_string(column.type) else column


def as_string(column: pa.Array, role: str) -> pa.Array:
    """Return the column as text, without blanks around it. Raises MarketDataError."""
    try:
        return trimmed(column).cast(pa.string())
    except pa.ArrowException as error:
        raise MarketDataError(f"column {role} holds {column.type}; text is needed") from error


def valid_text(column: pa.Array) -> pa.Array:
    """Return the column, with U+FFFD for each byte of a text that is not UTF-8: the CSV reader does not check text."""
    if not pa.types.is_string(column.type):
        return column
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return as_text([cell_text(column, number) for number in range(len(column))])
    return column


def is_number(kind: pa.DataType) -> bool:
    """Return whether cells of this type are numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _cast(column: pa.Array, target: pa.DataType, field: str, first_row: int) -> pa.Array:
    try:
        # As float64, integers above 2^53 lose their last digits; this is precise enough for prices and volumes.
        return column.cast(target, safe=False)
    except pa.ArrowInvalid as error:
        cell = bisect_left(range(1, len(column)), True, key=lambda cells: not _can_cast(column[:cells], target))
        raise MarketDataError(_cell_rule(field, cell_text(column, cell), target), row=first_row + cell) from error


def _can_cast(column: pa.Array, target: pa.DataType) -> bool:
    try:
        column.cast(target, safe=False)
    except pa.ArrowInvalid:
        return False
    return True


def _cell_rule(field: str, text: str, target: pa.DataType) -> str:
    if not text:
        return f"{field} is empty"
    if field != "timestamp":
        hint = "; decimals are written with a point, thousands without a comma" if "," in text else ""
        return f"{field} {shown(text)} is not a number{hint}"
    if not pa.types.is_timestamp(target):
        return f"timestamp {shown(text)} is no epoch, but the first row's is"
    if offset_in(text):
        return f"timestamp {shown(text)} has a timezone, the first row's has none; write all of them in UTC"
    return f"timestamp {shown(text)} is not an ISO 8601 date, such as 2020-01-31 or 2020-01-31 12:00"


def epoch_seconds(column: pa.Array, first_row: int) -> NDArray[np.int64]:
    """Return epochs, each in the unit that its size shows, as whole seconds."""
    if pa.types.is_integer(column.type) or (pa.types.is_string(column.type) and _can_cast(column, pa.int64())):
        epoch = as_numpy(column.cast(pa.int64(), safe=False))
    else:
        written = as_numpy(_cast(column, pa.float64(), "timestamp", first_row))
        _refuse(~(np.abs(written) < 2**53) | (written != np.rint(written)), written, "is not a whole number", first_row)
        epoch = written.astype(np.int64)
    units = (MILLISECONDS_FROM, MICROSECONDS_FROM, NANOSECONDS_FROM)
    per_second = np.array(list(PER_SECOND.values()))[np.searchsorted(units, epoch, side="right")]
    seconds, rest = np.divmod(epoch, per_second)
    _refuse(rest != 0, epoch, "is not a whole second", first_row)
    _refuse(seconds < EARLIEST_EPOCH, epoch, "is no epoch from 1980 on; write dates as 2020-01-31", first_row)
    return seconds


def whole_seconds(instants: pa.Array, unit: str, first_row: int) -> NDArray[np.int64]:
    """Return timestamps in `unit` as whole seconds. Arrow counts them from 1970 UTC, with or without a timezone."""
    ticks = as_numpy(instants.cast(pa.int64()))
    seconds, rest = np.divmod(ticks, PER_SECOND[unit])
    _refuse(rest != 0, ticks.astype(f"datetime64[{unit}]"), "is not a whole second", first_row)
    return seconds


def _refuse(broken: NDArray[np.bool_], values: NDArray[Any], rule: str, first_row: int) -> None:
    if broken.any():
        cell = int(broken.argmax())
        raise MarketDataError(f"timestamp {values[cell]} {rule}", row=first_row + cell)


def cell_text(column: pa.Array, cell: int) -> str:
    """Return a cell as text."""
    value = column[cell]
    if pa.types.is_string(column.type):
        # The CSV reader does not check that cells are UTF-8.
        written: bytes = value.cast(pa.binary()).as_py()
        return written.decode("utf-8", errors="replace")
    try:
        return str(value)
    except (KeyError, OverflowError, ValueError):
        # Python cannot hold the date, or does not know its time zone.
        return f"of type {column.type}"


def as_numpy(column: pa.Array) -> NDArray[Any]:
    """Return a column without nulls as an array, without a copy if possible."""
    # column.to_numpy() would import pandas.
    if pa.types.is_boolean(column.type):
        return np.from_dlpack(column.cast(pa.uint8())).astype(np.bool_)
    return np.from_dlpack(column)


def as_mask(mask: NDArray[np.bool_]) -> pa.Array:
    """Return a boolean array for Arrow."""
    # pa.array() would import pandas.
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, pa.py_buffer(np.packbits(mask, bitorder="little"))])


def as_text(cells: Sequence[str]) -> pa.Array:
    """Return texts as a column."""
    data = [cell.encode() for cell in cells]
    offsets = np.cumsum([0, *map(len, data)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(data), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(data))])
