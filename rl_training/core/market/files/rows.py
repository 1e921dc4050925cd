"""Collects the rows of a table: its cells as numbers and seconds, without repeated headers and rows of nulls."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rl_training.core.market.bars import PRICES, MarketDataError
from rl_training.core.market.columns import as_mask, as_numpy, as_string, cell_text, shown, trimmed, valid_text
from rl_training.core.market.files.dates import Clock, DateParts, settle_day_first
from rl_training.core.market.files.names import choose_symbol
from rl_training.core.market.files.numbers import Floats, described, refuse_number, refuse_value, to_floats, unusable
from rl_training.core.market.files.recognition import Plan
from rl_training.core.market.files.tables import MAX_BARS, Batch, refuse_mostly_invalid
from rl_training.core.market.files.times import TimeFormat, is_compact, join_date_and_time
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_values import is_own
from rl_training.core.words import count_of

NUMBERS = (*PRICES, "volume", "adjusted_open", "adjusted_high", "adjusted_low", "adjusted_close")
# One epoch with so few digits may be exact, but not all epochs of a file.
ROUNDED_EPOCH = re.compile(r"\d(\.\d{0,6})?[eE]\+?(09|1\d)")
# The most names of instruments that a message lists.
MOST_SYMBOLS = 1_000

Mask = NDArray[np.bool_]


@dataclass
class Survey:
    """Counts the unusable values of columns over all rows of a table.

    roles     the roles of the columns
    tolerant  whether rows without a usable value are dropped, so that some such rows are allowed
    """

    roles: Sequence[str]
    tolerant: bool = False
    _rows: int = 0
    _first: dict[str, str] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)

    def add(self, batch: Mapping[str, pa.Array], kept: NDArray[np.bool_], number: NDArray[np.int64], read: Any) -> None:
        """Check the rows of a batch that are kept; `number` is the number of each row in the file."""
        self._rows += int(kept.sum())
        for role in self.roles:
            try:
                bad = unusable(read(batch[role], role)[0]) & kept
            except MarketDataError as error:
                self._first.setdefault(role, error.rule)
                continue
            if bad.any():
                cell = int(bad.argmax())
                self._first.setdefault(role, f"row {number[cell]} {described(batch[role], cell)}")
                self._count[role] = self._count.get(role, 0) + int(bad.sum())

    def problem(self, role: str) -> str:
        """Return why the column can be no feature; empty if it can be."""
        first, count = self._first.get(role, ""), self._count.get(role, 0)
        if self.tolerant and 0 < count < self._rows:
            return ""
        return first + (f", and {count - 1:,} others" if count > 1 else "")


@dataclass
class Rows:
    """The rows of a table that hold bars, in the order of the file.

    columns  `timestamp` in seconds since 1970, in UTC or in the zone of the file, and numbers by role; NaN where a
             further column has no usable number
    number   the number of each row in the file, from 1
    total    the number of rows of the file
    survey   the results for the columns that the plan surveys
    """

    columns: dict[str, NDArray[Any]]
    number: NDArray[np.int64]
    times: TimeFormat
    total: int
    repairs: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    symbol: str = ""
    survey: Survey = field(default_factory=lambda: Survey(()))

    def __len__(self) -> int:
        return len(self.number)

    def keep(self, kept: "Mask | NDArray[np.int64]") -> None:
        """Keep some rows, or bring them into another order."""
        self.columns = {name: column[kept] for name, column in self.columns.items()}
        self.number = self.number[kept]


class Collector:
    """Collects rows batch by batch. Each call of `batches` returns the batches of the table from the start."""

    def __init__(self, batches: Callable[[], Iterator[Batch]], plan: Plan, config: MarketConfig) -> None:
        self._batches, self._plan, self._config = batches, plan, config
        self._numbers = [role for role in NUMBERS if role in plan.roles and self._wanted(role)]
        self._own = [role for role in plan.roles if is_own(role)]
        self._tolerant = config.bad_rows == "drop"
        self._survey = Survey(list(plan.surveyed), self._tolerant)
        self._times: TimeFormat | None = None
        self._digits = 0
        self._drops: Counter[str] = Counter()
        self._symbols: dict[str, None] = {}

    def collect(self) -> Rows:
        """Return all rows. Raises MarketDataError with the row and the rule that it breaks."""
        chunks: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ("timestamp", "number", *self._numbers, *self._own)
        }
        total = 0
        for batch in self._batches():
            count = len(batch["timestamp"])
            if not count:
                continue
            if total + count > MAX_BARS:
                raise MarketDataError(f"has more than {MAX_BARS} rows, the most that are read", row=MAX_BARS + 1)
            for name, part in self._collect(batch, total).items():
                chunks[name].append(part)
            total += count
            refuse_mostly_invalid(self._drops["bad_rows"], total)
        if not total:
            raise MarketDataError("has a header and no rows" if self._plan.header else "has no rows")
        if "symbol" in self._plan.roles and not sum(map(len, chunks["number"])):
            choose_symbol(list(self._symbols), self._config.symbol)
        columns = {name: np.concatenate(chunks.pop(name)) for name in list(chunks)}
        number = columns.pop("number")
        if not len(number):
            raise MarketDataError(f"has {count_of(total, 'row')}, none with prices")
        times = self._times or TimeFormat()
        return Rows(columns, number, times, total, drops=self._drops, symbol=self._symbol, survey=self._survey)

    def _wanted(self, role: str) -> bool:
        return self._config.adjust == "auto" or not role.startswith("adjusted")

    @property
    def _symbol(self) -> str:
        return self._config.symbol or next(iter(self._symbols), "")

    def _collect(self, batch: Batch, before: int) -> dict[str, NDArray[Any]]:
        number = np.arange(before + 1, before + 1 + len(batch["timestamp"]))
        if "symbol" in self._plan.roles:
            batch, number = _filtered(batch, number, self._of_symbol(batch["symbol"]))
        read = {role: self._floats(batch[role], role) for role in self._numbers}
        blank = np.logical_and.reduce([read[price][1] for price in PRICES])
        broken = np.logical_or.reduce([read[role][2] for role in self._numbers])
        if blank.any() or broken.any():
            header = self._is_header(batch) if broken.any() else np.zeros(len(number), np.bool_)
            self._drops["null_rows"] += int(blank.sum())
            self._drops["repeated_headers"] += int(header.sum())
            kept = ~(blank | header)
            batch, number = _filtered(batch, number, kept)
            read = {role: (values[kept], empty[kept], wrong[kept]) for role, (values, empty, wrong) in read.items()}
        bad = np.zeros(len(number), np.bool_)
        for role, (_, empty, wrong) in read.items():
            unusable = wrong if role == "volume" else wrong | empty
            if unusable.any() and not self._tolerant:
                cell = int(unusable.argmax())
                refuse_number(batch[role], role.replace("_", " "), cell, int(number[cell]), self._plan.decimal)
            bad |= unusable
        seconds, wrong_times = self._seconds(batch, number)
        bad |= wrong_times
        columns = {"timestamp": seconds, "number": number} | {role: values for role, (values, _, _) in read.items()}
        columns |= {role: self._own_values(batch[role], role, number, ~bad) for role in self._own}
        self._survey.add(batch, ~bad, number, self._floats)
        if bad.any():
            self._drops["bad_rows"] += int(bad.sum())
            columns = {name: column[~bad] for name, column in columns.items()}
        return columns

    def _floats(self, column: pa.Array, role: str) -> Floats:
        return to_floats(column, role, self._plan.decimal)

    def _own_values(self, column: pa.Array, role: str, number: NDArray[np.int64], kept: Mask) -> NDArray[np.float64]:
        """Return the values of a further column, NaN where the row must be dropped because of its value."""
        values = self._floats(column, role)[0]
        lacking = unusable(values)
        if (lacking & kept).any() and not self._tolerant:
            cell = int((lacking & kept).argmax())
            refuse_value(column, role, cell, int(number[cell]))
        return np.where(lacking, np.nan, values)

    def _of_symbol(self, column: pa.Array) -> Mask:
        column = as_string(valid_text(trimmed(column)), "symbol").fill_null("")
        for symbol in pc.unique(column).to_pylist():
            if len(self._symbols) < MOST_SYMBOLS and simple_symbol(symbol) != simple_symbol(self._header_of("symbol")):
                self._symbols.setdefault(symbol)
        if not self._config.symbol:
            if self._symbols:
                choose_symbol(list(self._symbols), "")
            return np.ones(len(column), np.bool_)
        found = next(
            (symbol for symbol in self._symbols if simple_symbol(symbol) == simple_symbol(self._config.symbol)), None
        )
        if found is None:
            return np.zeros(len(column), np.bool_)
        mask = as_numpy(pc.equal(column, found))
        self._drops["other_instruments"] += int((~mask).sum())
        return mask

    def _header_of(self, role: str) -> str:
        return self._plan.columns[role] if self._plan.header else ""

    def _is_header(self, batch: Batch) -> Mask:
        """Return which rows repeat the header."""
        rows = np.ones(len(batch["timestamp"]), np.bool_)
        for price in PRICES:
            column = trimmed(batch[price])
            if not pa.types.is_string(column.type) or not self._plan.header:
                return np.zeros(len(rows), np.bool_)
            name = self._plan.columns[price].strip().lower()
            rows &= as_numpy(pc.equal(pc.utf8_lower(valid_text(column).fill_null("")), name))
        return rows

    def _seconds(self, batch: Batch, number: NDArray[np.int64]) -> tuple[NDArray[np.int64], Mask]:
        column = valid_text(trimmed(batch["timestamp"]))
        if not len(column):
            return np.empty(0, np.int64), np.empty(0, np.bool_)
        if "time" in batch:
            clock = valid_text(trimmed(batch["time"]))
            if not self._digits:
                self._digits = self._digits_of(column, clock)
            column = join_date_and_time(column, clock, self._digits)
        if self._times is None:
            self._times = self._format_of(column)
        seconds, wrong = self._times.seconds(column)
        if wrong.any() and not self._tolerant:
            cell = int(wrong.argmax())
            self._times.refuse(column, cell, int(number[cell]))
        return seconds, wrong

    def _digits_of(self, dates: pa.Array, times: pa.Array) -> int:
        clock = Clock()
        clock.add(dates, times)
        if not clock.settled:
            for batch in self._batches():
                clock.add(valid_text(trimmed(batch["timestamp"])), valid_text(trimmed(batch["time"])))
        return clock.digits()

    def _format_of(self, column: pa.Array) -> TimeFormat:
        known = trimmed(column).drop_null()
        if not len(known):
            return TimeFormat()
        if not pa.types.is_string(known.type):
            typed = pa.types.is_timestamp(known.type)
            epoch = not typed and not pa.types.is_date(known.type) and not is_compact(known)
            return TimeFormat(epoch=epoch, offset=bool(typed and known.type.tz))
        cells = [cell_text(known, number) for number in range(min(len(known), 100))]
        if all(ROUNDED_EPOCH.fullmatch(cell) for cell in cells):
            raise MarketDataError(
                f"its timestamps, such as {shown(cells[0])}, have lost their last digits, as a spreadsheet "
                "saves them; write them as whole numbers or as dates"
            )
        times = TimeFormat.of(cells[0])
        parts = DateParts.of(cells)
        if parts.examples:
            parts.add(known)
            if not parts.settled and self._config.day_first == "auto":
                for batch in self._batches():
                    parts.add(valid_text(trimmed(batch["timestamp"])))
        return settle_day_first(times, self._config.day_first, parts)


def simple_symbol(symbol: str) -> str:
    """Return an instrument's name for comparison."""
    return symbol.strip().casefold()


def _filtered(batch: Batch, number: NDArray[np.int64], kept: Mask) -> tuple[Batch, NDArray[np.int64]]:
    if kept.all():
        return batch, number
    mask = as_mask(kept)
    return {role: column.filter(mask) for role, column in batch.items()}, number[kept]
