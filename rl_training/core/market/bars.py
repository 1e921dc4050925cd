"""Bars of one market. MarketData checks them when it is made, so code that uses it need not check prices again."""

import hashlib
import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_training.core.market.reading import MarketReading
from rl_training.core.market_values import OWN

PRICES = ("open", "high", "low", "close")
COLUMNS = ("timestamp", *PRICES, "volume")

# Outside these limits, products of prices and units, or reciprocals of prices, could exceed the range of float64.
MIN_PRICE, MAX_PRICE = 1e-15, 1e15
# Below this limit, sums of squared volumes stay finite for any number of bars.
MAX_VOLUME = 1e30
# The same limit for values of further columns, which may be negative.
MAX_VALUE = 1e30

SECONDS_PER_DAY = 86_400
SECONDS_PER_YEAR = 365.25 * SECONDS_PER_DAY
# The longest common closure of an exchange is a weekend and one holiday, from Friday to Tuesday.
LONGEST_USUAL_CLOSURE = 4 * SECONDS_PER_DAY


class MarketDataError(ValueError):
    """Bars cannot be used. Has the broken rule, and, if known, the row (the first bar is row 1) and the file.

    `setting` is the setting of MarketConfig that does not fit the bars, if it is known.
    """

    def __init__(self, rule: str, *, row: int | None = None, file: str = "", setting: str = "") -> None:
        super().__init__(rule)
        self.setting = setting
        self.rule = rule
        self.row = row
        self.file = file

    def __str__(self) -> str:
        where = [self.file] if self.file else []
        if self.row is not None:
            where.append(f"row {self.row}" + (" (header not counted)" if self.file else ""))
        return f"{', '.join(where)}: {self.rule}" if where else self.rule


@dataclass(frozen=True, eq=False, repr=False)
class MarketData:
    """Read-only bars in time order; T is at least 1.

    timestamp                datetime64[s], UTC, [T]; a daily bar has the date at midnight
    open, high, low, close   prices, float64, [T]
    volume                   float64, [T], in the unit of the source; all NaN if the source has no volume
    own                      further columns of a file by name, float64, [T] each, if `with_own` has added any
    reading                  how the bars were read, if a file or an exchange has them; not part of the digest

    Writable arrays are copied. `market[a:b]` is a MarketData of views on at least one bar.

    Raises MarketDataError, with the row, if timestamps do not strictly increase, a price is not a finite positive
    number, high and low do not enclose open and close, or a volume is negative or not finite.
    """

    timestamp: NDArray[np.datetime64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    own: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, init=False)
    reading: MarketReading | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timestamp", _whole_seconds(self.timestamp))
        for name in COLUMNS[1:]:
            object.__setattr__(self, name, _read_only(getattr(self, name), name, np.dtype(np.float64)))
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            raise MarketDataError(f"columns differ in length: {lengths}")
        if not len(self):
            raise MarketDataError("there are no bars")
        _check_times(self.timestamp)
        _check_values(self)

    def __len__(self) -> int:
        return len(self.timestamp)

    def __getitem__(self, bars: slice) -> "MarketData":
        if not isinstance(bars, slice) or bars.step not in (None, 1):
            raise TypeError(f"MarketData takes slices of consecutive bars, market[a:b], got {bars!r}")
        market = MarketData(*(getattr(self, name)[bars] for name in COLUMNS))
        return market.with_own({name: values[bars] for name, values in self.own.items()}) if self.own else market

    def with_own(self, own: Mapping[str, Any]) -> "MarketData":
        """Return the same bars with further columns by name, float64, [T] each. Raises MarketDataError."""
        market = copy(self)
        market.__dict__.pop("digest", None)
        columns = {name: _read_only(own[name], OWN + name, np.dtype(np.float64)) for name in sorted(own)}
        object.__setattr__(market, "own", columns)
        for name, values in columns.items():
            _check_own(name, values, len(self))
        return market

    @property
    def without_own(self) -> "MarketData":
        """Return the same bars without further columns."""
        return self.with_own({}) if self.own else self

    def read_as(self, reading: MarketReading) -> "MarketData":
        """Return the same bars with a description of how they were read."""
        market = copy(self)
        object.__setattr__(market, "reading", reading)
        return market

    def __repr__(self) -> str:
        return f"MarketData({len(self)} bars, {self.timestamp[0]} to {self.timestamp[-1]})"

    @cached_property
    def digest(self) -> str:
        """The SHA-256, in hex, of the little-endian columns: timestamp (int64, seconds), the others (float64).

        Each further column adds its name as JSON in ASCII, then its values, in the order of the names.
        """
        sha256 = hashlib.sha256(self.timestamp.astype("<i8").data)
        for name in COLUMNS[1:]:
            sha256.update(getattr(self, name).astype("<f8", copy=False).data)
        for name, values in self.own.items():
            sha256.update(json.dumps(name).encode())
            sha256.update(values.astype("<f8", copy=False).data)
        return sha256.hexdigest()

    @property
    def has_volume(self) -> bool:
        """Whether the source has volumes."""
        return not np.isnan(self.volume[0])

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The timestamps of the first and the last bar, in UTC."""
        first, last = (self.timestamp[bar].item().replace(tzinfo=UTC) for bar in (0, -1))
        return first, last

    @cached_property
    def spacing(self) -> int:
        """The most common number of seconds between bars, the smallest if several are; 0 if there is one bar."""
        if len(self) == 1:
            return 0
        seconds, counts = np.unique(self._steps, return_counts=True)
        return int(seconds[counts.argmax()])

    @cached_property
    def gaps(self) -> int:
        """The number of bars missing between the first and the last bar. Missing bars are never filled in.

        A hole counts as many bars as fit into it at the most common spacing. For intraday bars this includes the nights
        of a market that closes, because such bars do not show whether the market was closed or bars were lost. Daily
        bars without weekends belong to an exchange, which also has holidays. Among these, only a hole of more than four
        calendar days counts, with its weekdays.
        """
        if len(self) == 1:
            return 0
        if self.spacing == SECONDS_PER_DAY and not self._trades_at_weekends:
            long = self._steps > LONGEST_USUAL_CLOSURE
            days = self.timestamp.astype("datetime64[D]")
            return int(np.busday_count(days[:-1][long] + np.timedelta64(1, "D"), days[1:][long]).sum())
        return int((np.rint(self._steps / self.spacing) - 1).clip(min=0).sum())

    @property
    def bars_per_year(self) -> float:
        """The annualisation factor: the number of bars after the first per year of 365.25 days.

        It is about 252 for an exchange's daily bars and 8,766 for continuous hourly bars. Raises MarketDataError if
        there is only one bar.
        """
        if len(self) == 1:
            raise MarketDataError("bars_per_year needs at least 2 bars, there is 1")
        seconds = int(self.timestamp[-1].astype(np.int64) - self.timestamp[0].astype(np.int64))
        return (len(self) - 1) * SECONDS_PER_YEAR / seconds

    @property
    def _steps(self) -> NDArray[np.int64]:
        seconds: NDArray[np.int64] = self.timestamp.astype(np.int64)
        return seconds[1:] - seconds[:-1]

    @property
    def _trades_at_weekends(self) -> bool:
        # In a continuous market, a seventh of the bars has a date on Saturday and a seventh on Sunday. A market that is
        # closed at weekends can still have bars on Sunday, because its Monday may begin before midnight UTC.
        weekday = (self.timestamp.astype("datetime64[D]").astype(np.int64) + 3) % 7
        return bool((weekday == 5).mean() > 0.1 and (weekday == 6).mean() > 0.1)


def training_bars(bars: int, train_fraction: float) -> int:
    """Return how many of a market's bars are for training; the later ones are for evaluation."""
    return int(bars * train_fraction)


def split_market(market: MarketData, train_fraction: float) -> tuple[MarketData, MarketData | None]:
    """Return the first `train_fraction` of the bars, rounded down, for training and all later ones for evaluation.

    With a `train_fraction` of 1 there are no later bars, and the second value is None.

    The slices are views and share no bar. The gap between them lies at the start of the later slice: decisions on a
    slice begin after the longest feature window inside it, so no feature of an evaluated decision depends on a bar of
    the training slice. Raises MarketDataError if there would be no bar to train on.
    """
    bars = training_bars(len(market), train_fraction)
    if bars == 0:
        raise MarketDataError(
            f"{len(market)} bars at train_fraction {train_fraction:g} leave 0 to train on; at least 1 is needed"
        )
    return market[:bars], market[bars:] if bars < len(market) else None


def _read_only(values: Any, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        array = np.asarray(values, dtype=dtype, order="C")
    except (TypeError, ValueError) as error:
        raise MarketDataError(f"{name} cannot be read as {dtype}: {error}") from error
    if array.ndim != 1:
        raise MarketDataError(f"{name} has shape {array.shape}; one value per bar is needed")
    if array.flags.writeable:
        if isinstance(values, np.ndarray) and np.may_share_memory(array, values):
            array = array.copy()
        array.setflags(write=False)
    return array


def _whole_seconds(values: Any) -> NDArray[np.datetime64]:
    given = np.asarray(values)
    if given.dtype.kind != "M":
        raise MarketDataError(f"timestamp has dtype {given.dtype}; datetime64 in UTC is needed")
    seconds = _read_only(values, "timestamp", np.dtype("datetime64[s]"))
    if given.dtype != seconds.dtype:
        _refuse(
            ~np.isnat(given) & (given != seconds.astype(given.dtype)),
            lambda row: f"timestamp {given[row]} is not a whole second",
        )
    return seconds


def _refuse(broken: NDArray[np.bool_], rule: Callable[[int], str]) -> None:
    if broken.any():
        row = int(broken.argmax())
        raise MarketDataError(rule(row), row=row + 1)


def _check_times(time: NDArray[np.datetime64]) -> None:
    _refuse(np.isnat(time), lambda row: "timestamp is missing (NaT)")
    later, earlier = time[1:], time[:-1]
    _refuse(
        np.concatenate(([False], later <= earlier)),
        lambda row: (
            f"timestamp {time[row]} appears twice"
            if time[row] == time[row - 1]
            else f"timestamp {time[row]} is earlier than in the row before, {time[row - 1]}"
        ),
    )


def _check_values(market: MarketData) -> None:
    for name in PRICES:
        _check_price(name, getattr(market, name))
    volume = market.volume
    # The negated comparison also refuses NaN, for which every comparison is false.
    if not np.isnan(volume).all():
        _refuse(
            ~((volume >= 0) & (volume <= MAX_VOLUME)),
            lambda row: f"volume is {volume[row]}; a volume is a finite number from 0 to {MAX_VOLUME:g}",
        )
    for inner in ("low", "open", "close"):
        _check_encloses(market, inner)


def _check_own(name: str, values: NDArray[np.float64], bars: int) -> None:
    if len(values) != bars:
        raise MarketDataError(f"{OWN}{name} has {len(values)} values for {bars} bars")
    _refuse(
        ~(np.abs(values) <= MAX_VALUE),
        lambda row: f"{OWN}{name} is {values[row]}; a value is a finite number from {-MAX_VALUE:g} to {MAX_VALUE:g}",
    )


def _check_price(name: str, price: NDArray[np.float64]) -> None:
    _refuse(
        ~((price >= MIN_PRICE) & (price <= MAX_PRICE)),
        lambda row: f"{name} is {price[row]}; a price is a finite number from {MIN_PRICE:g} to {MAX_PRICE:g}",
    )


def _check_encloses(market: MarketData, inner: str) -> None:
    high, low, price = market.high, market.low, getattr(market, inner)
    _refuse(high < price, lambda row: f"high {high[row]} is below {inner} {price[row]}")
    _refuse(low > price, lambda row: f"low {low[row]} is above {inner} {price[row]}")
