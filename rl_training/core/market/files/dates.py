"""Decides how to read dates such as 1/2/2024 and times such as 930, from all dates and times of day of a file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.columns import shown, trimmed
from rl_training.core.market.files.times import MONTHS, ONLY_DIGITS, TimeFormat

# Two-digit years from this one on are in the 20th century.
FIRST_OF_1900 = 70
NAMED_MONTH = re.compile(rf"(?i)(\d{{1,2}})[ ./-]*({'|'.join(MONTHS)})[a-z]*\.?[ ./,-]*(\d\d)(?!\d)(.*)")
LONGEST_DATE = 20
DAY_MONTH = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d\d)(?!\d)(.*)")

# Digits of times of day, and the largest number that 4 of them make.
HOURS_AND_MINUTES, HOURS_MINUTES_AND_SECONDS, END_OF_DAY = 4, 6, 2400


def settle_day_first(known: TimeFormat, setting: str, parts: "DateParts") -> TimeFormat:
    """Return the format with the order of day, month and year that the setting or the dates of the file show.

    Raises MarketDataError with the readings of the first dates if several orders fit all of them.
    """
    orders = parts.orders
    if not parts.examples or known.epoch or (parts.named and not orders):
        return known
    # Dates such as 24-Jan-03 begin with the year if not with the day.
    other = "year" if parts.named else "month"
    if setting != "auto" and (len(orders) > 1 or not parts.named):
        orders = [order for order in orders if order == ("day" if setting == "yes" else other)]
    if not orders and "year" in parts.orders:
        raise MarketDataError(
            f"its dates, such as {shown(parts.examples[0])}, begin with the year; set day_first to auto"
        )
    if not orders:
        kept = "" if setting == "auto" else f", and day_first is {setting}"
        raise MarketDataError(
            f"its dates, such as {shown(parts.examples[0])}, have numbers above 12 as day and as month{kept}; set "
            f"day_first to {'no' if parts.second > 12 else 'yes'}, or correct them"
        )
    readings = {order: ", ".join(_reading(text, order) for text in parts.examples) for order in orders}
    # Dates such as 12/12/2024 are the same in both orders.
    if len(orders) > 1 and (parts.differ or len(set(readings.values())) > 1):
        either = ", or ".join(f"{dates} with the {order} first" for order, dates in readings.items())
        choices = " or ".join(choice for order, choice in (("day", "yes"), (other, "no")) if order in orders)
        years = ", or write years with four digits" if "year" in orders else ""
        raise MarketDataError(
            f"its first dates {', '.join(shown(text) for text in parts.examples)} are {either}, and no date of the "
            f"file settles it: set day_first to {choices}{years}"
        )
    return replace(known, day_first=orders[0] == "day", year_first=orders[0] == "year")


@dataclass
class DateParts:
    """The largest numbers of the dates of a file that do not begin with a year of four digits, and its first dates.

    `differ`: the first two numbers of some date differ. `short`: all years have two digits. `named`: months are names,
    as in 24-Jan-03.
    """

    first: int = 0
    second: int = 0
    third: int = 0
    examples: tuple[str, ...] = ()
    differ: bool = False
    short: bool = True
    named: bool = False

    @classmethod
    def of(cls, cells: Sequence[str]) -> "DateParts":
        parts = cls()
        for cell in cells:
            if parts._take(cell.strip()) and len(parts.examples) < 3 and cell.strip() not in parts.examples:
                parts.examples = (*parts.examples, cell.strip())
        return parts

    @property
    def orders(self) -> list[str]:
        """The parts that may come first in all dates: the day, the month, or a two-digit year not in the future."""
        now = datetime.now(UTC).year % 100
        year_first = self.short and self.second <= 12 and self.third <= 31 and not now < self.first < FIRST_OF_1900
        if year_first and now < self.third:
            return ["year"]
        found = ["day"] if self.first <= 31 and self.second <= 12 else []
        found += ["month"] if self.first <= 12 and self.second <= 31 and not self.named else []
        return [*found, "year"] if year_first else found

    @property
    def settled(self) -> bool:
        """Whether the dates fit only one order."""
        return not self.examples or len(self.orders) < 2

    def add(self, column: pa.Array) -> None:
        """Take the dates of a column into account."""
        for cell in pc.unique(pc.utf8_slice_codeunits(trimmed(column).fill_null(""), 0, LONGEST_DATE)).to_pylist():
            self._take(cell)

    def _take(self, cell: str) -> bool:
        """Take a date into account; return False if the cell is no date, or begins with a year of four digits."""
        found = DAY_MONTH.fullmatch(cell) or NAMED_MONTH.fullmatch(cell)
        if found is None:
            return False
        first, second, third = _numbers(*found.group(1, 2, 3))
        self.named |= not found.group(2).isdigit()
        self.first, self.second, self.third = max(self.first, first), max(self.second, second), max(self.third, third)
        self.differ |= first != (third if self.named else second)
        self.short &= len(found.group(3)) == 2
        return True


def _numbers(first: str, second: str, third: str) -> tuple[int, int, int]:
    month = int(second) if second.isdigit() else 1 + MONTHS.index(second[:3].lower())
    return int(first), month, int(third)


def _reading(text: str, order: str) -> str:
    first, second, third = _numbers(*re.findall(r"\d+|[A-Za-z]+", text)[:3])
    year, month, day = {
        "day": (third, second, first),
        "month": (third, first, second),
        "year": (first, second, third),
    }[order]
    year += 0 if year > 99 else 2000 if year < FIRST_OF_1900 else 1900
    return f"{year:04}-{month:02}-{day:02}"


@dataclass
class Clock:
    """The times of day of a file that have only digits: the shortest, longest and largest, and if any begins with 0.

    `dates` are up to two dates of these times; `examples` are the first of these times.
    """

    shortest: int = HOURS_MINUTES_AND_SECONDS
    longest: int = 0
    largest: int = 0
    padded: bool = False
    dates: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def add(self, dates: pa.Array, times: pa.Array) -> None:
        """Take the cells of a date column and a time column into account."""
        cells = trimmed(times).cast(pa.string()).fill_null("")
        mask = pc.match_substring_regex(cells, ONLY_DIGITS)
        cells = cells.filter(mask)
        if not len(cells):
            return
        lengths = pc.min_max(pc.binary_length(cells)).as_py()
        self.shortest, self.longest = min(self.shortest, lengths["min"]), max(self.longest, lengths["max"])
        self.largest = max(self.largest, pc.max(cells.cast(pa.int64())).as_py())
        self.padded |= bool(pc.any(pc.match_substring_regex(cells, r"^0\d")).as_py())
        days = pc.unique(trimmed(dates).filter(mask))[:2].cast(pa.string()).to_pylist()
        self.dates = tuple(dict.fromkeys((*self.dates, *days)))[:2]
        self.examples = self.examples or tuple(pc.unique(cells)[:3].to_pylist())

    @property
    def settled(self) -> bool:
        """Whether the times show how many digits they have, or there are none."""
        return not self.longest or self.longest > HOURS_AND_MINUTES or self.padded

    def digits(self) -> int:
        """Return how many digits the times have with leading zeros. Raises MarketDataError if there are two readings.

        A file of several days whose times are all seconds of the first 24 minutes after midnight is read wrongly.
        """
        if self.longest > HOURS_AND_MINUTES or self.largest > END_OF_DAY:
            return HOURS_MINUTES_AND_SECONDS
        if self.settled or len(self.dates) > 1 or self.shortest == HOURS_AND_MINUTES:
            return HOURS_AND_MINUTES
        four, six = (
            ", ".join(_colons(text.zfill(digits)) for text in self.examples)
            for digits in (HOURS_AND_MINUTES, HOURS_MINUTES_AND_SECONDS)
        )
        raise MarketDataError(
            f"its first times {', '.join(map(shown, self.examples))} are {four} or {six}, and no time of the file "
            "settles it: write them with their leading zeros, or with colons, or name a column that has the date and "
            "the time, as in columns: {'timestamp': ...}"
        )


def _colons(digits: str) -> str:
    return ":".join(re.findall("..", digits))
