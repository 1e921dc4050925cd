"""What all dates of a file show of dates such as 1/2/2024, and all its times of day of times such as 930."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.columns import shown, trimmed
from rl_training.core.market.files.times import ONLY_DIGITS, TimeFormat

DAY_MONTH = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d\d)(?!\d)(.*)")

# Digits of times of day, and the largest number that 4 of them make.
HOURS_AND_MINUTES, HOURS_MINUTES_AND_SECONDS, END_OF_DAY = 4, 6, 2400


def settle_day_first(known: TimeFormat, setting: str, parts: "DateParts") -> TimeFormat:
    """Return the format with the order of day and month, as the setting or the dates of the file decide it.

    Raises MarketDataError with both readings of the first dates if both orders fit all of them.
    """
    if not parts.examples or known.epoch or known.month_names:
        return known
    if not parts.differ and parts.first <= 12:
        return replace(known, day_first=True)
    day_first, month_first = parts.second <= 12, parts.first <= 12
    if setting != "auto":
        day_first, month_first = setting == "yes" and day_first, setting == "no" and month_first
    if day_first and month_first and parts.first <= 12:
        either = [_both_readings(text) for text in parts.examples]
        raise MarketDataError(
            f"its first dates {', '.join(shown(text) for text in parts.examples)} are "
            f"{', '.join(one for one, _ in either)} with the day first, or {', '.join(other for _, other in either)} "
            "with the month first, and no date of the file settles it: set day_first to yes or no"
        )
    if not (day_first or month_first):
        kept = "" if setting == "auto" else f", and day_first is {setting}"
        raise MarketDataError(
            f"its dates, such as {shown(parts.examples[0])}, have numbers above 12 as day and as month{kept}; set "
            f"day_first to {'no' if parts.second > 12 else 'yes'}, or correct them"
        )
    return replace(known, day_first=day_first)


@dataclass
class DateParts:
    """The largest first and second numbers of the dates of a file that begin with day or month, and its first dates.

    `differ`: in some date the two numbers differ; dates such as 12/12/2024 are the same in either order.
    """

    first: int = 0
    second: int = 0
    examples: tuple[str, ...] = ()
    differ: bool = False

    @classmethod
    def of(cls, cells: Sequence[str]) -> "DateParts":
        parts = cls()
        for cell in cells:
            if found := DAY_MONTH.fullmatch(cell.strip()):
                parts._take(int(found.group(1)), int(found.group(2)))
                if len(parts.examples) < 3 and cell.strip() not in parts.examples:
                    parts.examples = (*parts.examples, cell.strip())
        return parts

    @property
    def settled(self) -> bool:
        return not self.examples or self.first > 12 or self.second > 12

    def add(self, column: pa.Array) -> None:
        """Take the dates of a column into account."""
        for cell in pc.unique(pc.utf8_slice_codeunits(trimmed(column).fill_null(""), 0, 10)).to_pylist():
            if found := re.match(r"(\d{1,2})[./-](\d{1,2})[./-]\d", cell):
                self._take(int(found.group(1)), int(found.group(2)))

    def _take(self, first: int, second: int) -> None:
        self.first, self.second = max(self.first, first), max(self.second, second)
        self.differ |= first != second


def _both_readings(text: str) -> tuple[str, str]:
    first, second, year = (int(number) for number in re.split(r"[^0-9]", text)[:3])
    year += 0 if year > 99 else 2000 if year < 70 else 1900
    return f"{year:04}-{second:02}-{first:02}", f"{year:04}-{first:02}-{second:02}"


@dataclass
class Clock:
    """The times of day of a file that are digits alone: the shortest, longest and largest, whether one begins with 0.

    `dates` are those of these times, up to two; `examples` are the first of them.
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
        return not self.longest or self.longest > HOURS_AND_MINUTES or self.padded

    def digits(self) -> int:
        """Return how many digits the times have with their zeros. Raises MarketDataError if there are two readings.

        Seconds of the first 24 minutes after midnight, of several days and no other times, are not thought of.
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
