"""Bars of one market, checked once: whoever holds a MarketData need not check prices again."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRICES = ("open", "high", "low", "close")
COLUMNS = ("timestamp", *PRICES, "volume")

# Beyond these, products of prices and units, or reciprocals of prices, come near the ends of what float64 holds.
MIN_PRICE, MAX_PRICE = 1e-15, 1e15
# Squares of volumes, summed over any number of bars, stay finite.
MAX_VOLUME = 1e30

SECONDS_PER_DAY = 86_400
SECONDS_PER_YEAR = 365.25 * SECONDS_PER_DAY
# Friday to Tuesday, a weekend and one holiday: the longest that exchanges commonly close for.
LONGEST_USUAL_CLOSURE = 4 * SECONDS_PER_DAY


class MarketDataError(ValueError):
    """Bars that cannot be used: the rule they break, the row (the first bar is row 1), and the file if there is one."""

    def __init__(self, rule: str, *, row: int | None = None, file: str = "") -> None:
        super().__init__(rule)
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
    """Bars in time order, read-only.

    timestamp: datetime64[s], UTC, [T]; of daily bars the date at midnight. open, high, low, close: price; volume: in
    whatever unit the source counts; float64, [T]. T is at least 1. An array that could still be written to is copied.
    `market[a:b]` is a MarketData of views on those bars, and must hold at least one.

    Raises MarketDataError, with the row, where timestamps do not strictly increase, a price is not a finite positive
    number, high and low do not enclose the bar, or a volume is negative or not finite.
    """

    timestamp: NDArray[np.datetime64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

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
        return MarketData(*(getattr(self, name)[bars] for name in COLUMNS))

    def __repr__(self) -> str:
        return f"MarketData({len(self)} bars, {self.timestamp[0]} to {self.timestamp[-1]})"

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, of timestamp (int64, seconds), open, high, low, close, volume (float64), little-endian."""
        sha256 = hashlib.sha256(self.timestamp.astype("<i8").data)
        for name in COLUMNS[1:]:
            sha256.update(getattr(self, name).astype("<f8", copy=False).data)
        return sha256.hexdigest()

    @property
    def span(self) -> tuple[datetime, datetime]:
        """Timestamps of the first and the last bar, in UTC."""
        first, last = (self.timestamp[bar].item().replace(tzinfo=UTC) for bar in (0, -1))
        return first, last

    @cached_property
    def spacing(self) -> int:
        """The most common number of seconds from bar to bar, the smallest if several are; 0 for one bar."""
        if len(self) == 1:
            return 0
        seconds, counts = np.unique(self._steps, return_counts=True)
        return int(seconds[counts.argmax()])

    @cached_property
    def gaps(self) -> int:
        """Number of bars missing between the first and the last. None is ever filled in.

        Each hole counts the bars that fit into it at the most common spacing. In a market that closes at night this
        includes the nights: intraday bars do not say whether it was closed or the bars were lost. Daily bars without
        weekends are an exchange's, which also has holidays: there, only holes of more than four calendar days count,
        with the weekdays in them.
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
        """Bars after the first over the years of 365.25 days they span: the annualisation factor. Needs two bars.

        About 252 for an exchange's daily bars, 8,766 for hourly bars round the clock.
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
        # Round the clock, a seventh of the bars is dated Saturday and a seventh Sunday. A market closed at weekends may
        # still have bars dated Sunday, where its Monday begins before midnight UTC.
        weekday = (self.timestamp.astype("datetime64[D]").astype(np.int64) + 3) % 7
        return bool((weekday == 5).mean() > 0.1 and (weekday == 6).mean() > 0.1)


def split_market(market: MarketData, train_fraction: float) -> tuple[MarketData, MarketData]:
    """The first `train_fraction` of the bars, rounded down, to train on, and all later ones to evaluate on.

    Both are views and share no bar. The embargo lies at the start of the later slice: decisions on a slice begin only
    after the longest feature window inside it, so no feature of an evaluated decision touches a bar trained on.
    """
    bars = int(len(market) * train_fraction)
    if not 0 < bars < len(market):
        raise MarketDataError(
            f"{len(market)} bars at train_fraction {train_fraction:g} leave {bars} to train on and "
            f"{len(market) - bars} to evaluate on; each needs at least 1"
        )
    return market[:bars], market[bars:]


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
            else f"timestamp {time[row]} is earlier than the row before's, {time[row - 1]}"
        ),
    )


def _check_values(market: MarketData) -> None:
    for name in PRICES:
        _check_price(name, getattr(market, name))
    volume = market.volume
    # Written with ~ so that NaN, which is neither above nor below anything, is refused too.
    _refuse(
        ~((volume >= 0) & (volume <= MAX_VOLUME)),
        lambda row: f"volume is {volume[row]}; it is a finite number from 0 to {MAX_VOLUME:g}",
    )
    for inner in ("low", "open", "close"):
        _check_encloses(market, inner)


def _check_price(name: str, price: NDArray[np.float64]) -> None:
    _refuse(
        ~((price >= MIN_PRICE) & (price <= MAX_PRICE)),
        lambda row: f"{name} is {price[row]}; a price is a finite number from {MIN_PRICE:g} to {MAX_PRICE:g}",
    )


def _check_encloses(market: MarketData, inner: str) -> None:
    high, low, price = market.high, market.low, getattr(market, inner)
    _refuse(high < price, lambda row: f"high {high[row]} is below {inner} {price[row]}")
    _refuse(low > price, lambda row: f"low {low[row]} is above {inner} {price[row]}")
