"""Makes bars of the rows of a file: orders, adjusts, repairs and checks them, and counts the changes."""

from collections import Counter
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from numpy.typing import NDArray

from rl_training.core.market.bars import COLUMNS, MAX_PRICE, MAX_VOLUME, MIN_PRICE, PRICES, MarketData, MarketDataError
from rl_training.core.market.files.numbers import lacking, own_of
from rl_training.core.market.files.recognition import Plan
from rl_training.core.market.files.rows import Mask, Rows
from rl_training.core.market.files.times import refuse_impossible_times
from rl_training.core.market.files.zones import known_zone, may_repeat_an_hour, to_utc
from rl_training.core.market.quality import bad_ticks, find_suspicions, rounding_step
from rl_training.core.market.reading import MarketReading, Suspicion
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_layouts import BROKER_TIME
from rl_training.core.market_values import OWN
from rl_training.core.words import count_of

SECONDS_PER_DAY = 86_400
# Rounding of float64 in an adjustment by a factor.
LAST_DIGITS = 4 * np.finfo(np.float64).eps
# Fewer bars do not show which of their prices is the open.
FEWEST_TO_ORDER = 20
# A file with a larger share of invalid rows has another layout, or is damaged.
MOST_BAD_ROWS = 0.1

logger = structlog.get_logger(__name__)


@dataclass
class BarMaker:
    """Makes the bars of a file from its rows."""

    rows: Rows
    plan: Plan
    config: MarketConfig
    compression: str

    def __post_init__(self) -> None:
        self.notes = list(self.plan.notes)
        self.repairs: Counter[str] = self.rows.repairs
        self.drops: Counter[str] = self.rows.drops

    def make(self) -> MarketData:
        """Return the bars. Raises MarketDataError with the rule, and the row where there is one."""
        self._refuse_impossible_times()
        self.zone = self._into_utc()
        self._refuse_impossible_times()
        self._sort()
        self._drop_duplicates()
        self._refuse_reversed()
        self._adjust()
        self._complete_volume()
        self._repair_rounding()
        self._drop_invalid()
        suspicions = self._suspicions()
        columns = {name: self.rows.columns[name] for name in COLUMNS}
        own = own_of(self.rows.columns)
        for column in (*columns.values(), *own.values()):
            # MarketData copies writable arrays.
            column.setflags(write=False)
        try:
            market = MarketData(**columns).with_own(own).read_as(self._reading(suspicions))
        except MarketDataError as error:
            raise self._at_row_of_file(error) from None
        if len(market) > 1 and (market.close == market.close[0]).all():
            raise MarketDataError(
                f"close is {market.close[0]} in every row: there is nothing to learn from a constant price"
            )
        return market

    def _refuse_impossible_times(self) -> None:
        try:
            refuse_impossible_times(self.rows.columns["timestamp"].view("datetime64[s]"))
        except MarketDataError as error:
            raise self._at_row_of_file(error) from None

    def _at_row_of_file(self, error: MarketDataError) -> MarketDataError:
        return MarketDataError(error.rule, row=int(self.rows.number[error.row - 1]) if error.row else None)

    def _into_utc(self) -> str:
        """Convert local times to UTC, and return a text that says how the times were interpreted."""
        times, local = self.rows.times, self.rows.columns["timestamp"]
        written = times.zone or self.plan.zone
        self.rows.columns["timestamp"] = local.view("datetime64[s]")
        if times.epoch:
            return "UTC, as epochs are"
        if times.offset:
            return "the offset of each timestamp"
        if not (local % SECONDS_PER_DAY).any():
            return "dates, at midnight UTC"
        zone = self.config.timezone or (known_zone(written) if written else self.plan.layout.timezone)
        if not zone:
            if self.plan.layout.note == BROKER_TIME:
                self.notes.append(BROKER_TIME)
            return "taken as UTC"
        try:
            self.rows.columns["timestamp"] = to_utc(local, ZoneInfo(zone)).view("datetime64[s]")
        except MarketDataError as error:
            raise self._at_row_of_file(error) from None
        if self.config.timezone:
            return f"{zone}, the setting timezone"
        return f"{zone}, which the {'file names' if written else f'layout {self.plan.layout.name} has'}"

    def _sort(self) -> None:
        time = self.rows.columns["timestamp"]
        if (time[1:] < time[:-1]).any():
            self.rows.keep(np.argsort(time, kind="stable"))
            self.repairs["sorted"] = len(time)
            logger.info("Rows of the market file were not in time order: sorted", file=self.config.path, rows=len(time))

    def _drop_duplicates(self) -> None:
        time = self.rows.columns["timestamp"]
        again = np.concatenate(([False], time[1:] == time[:-1]))
        if not again.any():
            return
        same = again.copy()
        for column in self.rows.columns.values():
            same[1:] &= (column[1:] == column[:-1]) | ((column[1:] != column[1:]) & (column[:-1] != column[:-1]))
        self.drops["duplicate_rows"] += int(same.sum())
        if not (other := again & ~same).any():
            self.rows.keep(~same)
            return
        row = int(other.argmax())
        if self.config.bad_rows == "refuse":
            rule = f"timestamp {time[row]} appears twice, with other prices{self._why_twice(time, row)}"
            raise MarketDataError(rule, row=int(self.rows.number[row]))
        self.drops["bad_rows"] += int(other.sum())
        self.rows.keep(~again)

    def _why_twice(self, time: NDArray[np.datetime64], row: int) -> str:
        seconds = time.astype(np.int64)
        if self.rows.times.naive and not (seconds % SECONDS_PER_DAY).any():
            name = self.plan.columns["timestamp"]
            return (
                f"; the column {name!r} holds dates alone, so several bars of a day need a column with the time of day "
                "(columns: {'time': ...}), or the file has several instruments (columns: {'symbol': ...})"
            )
        if self.rows.times.naive and not self.config.timezone and may_repeat_an_hour(int(seconds[row])):
            return (
                "; this may be the hour that the end of daylight saving time repeats: set timezone to the file's zone"
            )
        return "; bad_rows: drop keeps the first"

    def _refuse_reversed(self) -> None:
        """Refuse a file without a header whose open and close seem swapped: each close is near the previous open."""
        opened, close = self.rows.columns["open"], self.rows.columns["close"]
        if self.plan.header or not self.plan.layout.first or self.config.format != "auto" or self.config.columns:
            return
        with np.errstate(all="ignore"):
            steps, as_opens = np.nansum(np.abs(opened[1:] - close[:-1])), np.nansum(np.abs(close[1:] - opened[:-1]))
        if len(self.rows) >= FEWEST_TO_ORDER and as_opens < steps / 2:
            first, last = self.plan.roles["open"], self.plan.roles["close"]
            raise MarketDataError(
                f"has no header, and its columns {first} and {last} may be open and close, as in the layout "
                f"{self.plan.layout.name}, or close and open, which continues better from row to row: set format to "
                f"{self.plan.layout.name}, or columns to {{'open': '{last}', 'close': '{first}', ...}}"
            )

    def _adjust(self) -> None:
        """Replace the prices by adjusted ones, if the file has an adjusted close."""
        columns = self.rows.columns
        adjusted = columns.pop("adjusted_close", None)
        others = PRICES[:-1]
        given = {price: columns.pop(f"adjusted_{price}") for price in others if f"adjusted_{price}" in columns}
        if adjusted is None:
            return
        names = self.plan.columns
        if len(given) == len(others):
            columns |= given | {"close": adjusted}
            self.notes.append(f"prices are the adjusted ones: close is {names['adjusted_close']!r}")
        else:
            with np.errstate(all="ignore"):
                factor = adjusted / columns["close"]
            columns |= {price: columns[price] * factor for price in others} | {"close": adjusted}
            self.notes.append(f"close is {names['adjusted_close']!r}, and open, high and low are scaled like it")
        self._enclose(LAST_DIGITS * columns["close"])

    def _complete_volume(self) -> None:
        volume = self.rows.columns.setdefault("volume", np.full(len(self.rows), np.nan))
        missing = np.isnan(volume)
        if missing.all():
            named = "no column is read as volume; if an unused column holds it, name it with the setting columns"
            self.notes.append(named if self.plan.unused else "the file has no volume")
        elif missing.any():
            self.repairs["volume_missing"] = int(missing.sum())
            self.rows.columns["volume"] = np.where(missing, 0.0, volume)

    def _repair_rounding(self) -> None:
        close = self.rows.columns["close"]
        if moved := self._enclose(np.maximum(rounding_step(close), LAST_DIGITS * close)):
            self.repairs["rounding"] = moved

    def _enclose(self, tolerance: NDArray[np.float64]) -> int:
        """Move highs and lows that are off by at most `tolerance`, and return how many bars that were."""
        columns = self.rows.columns
        highest = np.maximum(columns["open"], columns["close"])
        lowest = np.minimum(columns["open"], columns["close"])
        low, high = columns["low"], columns["high"]
        with np.errstate(invalid="ignore"):
            below = (high < highest) & (highest - high <= tolerance)
            above = (low > lowest) & (low - lowest <= tolerance)
        if below.any():
            columns["high"] = np.where(below, highest, high)
        if above.any():
            columns["low"] = np.where(above, lowest, low)
        return int((below | above).sum())

    def _drop_invalid(self) -> None:
        """Refuse or drop rows whose prices cannot be right, bad ticks among them."""
        if self.config.bad_rows == "drop" and (own := own_of(self.rows.columns)):
            self._drop(lacking(own), "column_values")
        columns = self.rows.columns
        opened = columns["open"]
        # A long early history without opens does not mean that the file is damaged.
        early = int((opened != 0).argmax())
        if self.config.bad_rows == "drop":
            invalid = np.zeros(len(self.rows), np.bool_)
            for price in PRICES:
                invalid |= ~((columns[price] >= MIN_PRICE) & (columns[price] <= MAX_PRICE))
            volume = columns["volume"]
            if not np.isnan(volume).all():
                invalid |= ~((volume >= 0) & (volume <= MAX_VOLUME))
            self._drop(invalid, "bad_rows")
            self._drop(self._ticks(), "bad_ticks")
            self._drop(self._outside(), "bad_rows")
            bad, total = self.drops["bad_rows"] + self.drops["bad_ticks"] - early, self.rows.total - early
            if bad > MOST_BAD_ROWS * total:
                raise MarketDataError(f"{bad} of {total} rows are invalid: it is damaged or in another layout")
            return
        if (zero := (opened == 0) & (columns["close"] > 0)).any():
            few = zero[early:].sum() <= MOST_BAD_ROWS * (self.rows.total - early)
            advice = "bad_rows: drop leaves these rows out" if few else "it has too few opens to be used"
            raise MarketDataError(
                f"open is 0 in {count_of(zero.sum(), 'row')}, as some vendors write opens that they do not know; "
                f"{advice}",
                row=int(self.rows.number[int(zero.argmax())]),
            )

    def _drop(self, invalid: Mask, kind: str) -> None:
        if invalid.all():
            raise MarketDataError(f"has {count_of(self.rows.total, 'row')}, none with valid prices")
        if invalid.any():
            self.drops[kind] += int(invalid.sum())
            self.rows.keep(~invalid)

    def _outside(self) -> Mask:
        columns = self.rows.columns
        highest = np.maximum(columns["open"], columns["close"])
        lowest = np.minimum(columns["open"], columns["close"])
        outside: Mask = (columns["high"] < highest) | (columns["low"] > lowest)
        return outside

    def _ticks(self) -> Mask:
        return bad_ticks(self.rows.columns) if len(self.rows) > 2 else np.zeros(len(self.rows), np.bool_)

    def _suspicions(self) -> dict[str, Suspicion]:
        if any(not (self.rows.columns[price] > 0).all() for price in PRICES):
            return {}
        found = find_suspicions(self.rows.columns)
        if self.config.suspicious == "refuse":
            for kind, advice in (
                ("bad_tick", "a bad tick; bad_rows: drop leaves such bars out, and suspicious: warn uses them"),
                (
                    "split",
                    "a lasting jump, as of an unadjusted split; adjust the prices, or set suspicious to warn",
                ),
            ):
                if kind in found:
                    more = f" ({found[kind].count - 1} more)" if found[kind].count > 1 else ""
                    raise MarketDataError(f"{found[kind].examples[0]}{more}: {advice}")
        return found

    def _reading(self, suspicions: dict[str, Suspicion]) -> MarketReading:
        note = self.plan.layout.note
        if note and note not in self.notes and note != BROKER_TIME:
            self.notes.append(note)
        return MarketReading(
            layout=self.plan.layout.name,
            compression=self.compression,
            separator=self.plan.separator,
            decimal=self.plan.decimal,
            columns=self.plan.columns,
            unused=self.plan.unused,
            further={name: problem or self.rows.survey.problem(OWN + name) for name, _, problem in self.plan.further},
            zone=self.zone,
            notes=tuple(self.notes),
            repairs={kind: count for kind, count in self.repairs.items() if count},
            drops={kind: count for kind, count in self.drops.items() if count},
            suspicions=suspicions,
            instruments=self.plan.names_instruments,
        )
