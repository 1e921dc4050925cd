"""Finds prices that are well-formed but probably wrong. The checks read whole columns and change nothing."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_training.core.market.bars import PRICES
from rl_training.core.market.reading import Suspicion

Columns = Mapping[str, NDArray[Any]]
Mask = NDArray[np.bool_]

# The surroundings of a bar are this many bars on each side of it.
AROUND = 12
# In deviations of the surroundings, estimated from the median absolute deviation of their log returns.
FAR = 20.0
# Only a price this many times another counts at the ends of a market, where a jump may be the first bar of a new level,
# and in several bars at once, where it may be a crash and the recovery from it.
FAR_LEVEL = 3.0
# The most consecutive bars that may be bad ticks: far from the level before and after them. More bars are a new level.
LONGEST_RUN = 5
# A high or low far from open and close may be a real, short trade. It counts as a bad tick only if its price is
# FAR_WICK times the others' and its length LONG_WICK times that of usual bars.
FAR_WICK = 1.5
LONG_WICK = 8.0
# Bars on each side that show whether a new level lasts.
LASTING = 5
# A jump by at least this factor is a split, whatever its ratio.
LARGE_SPLIT = 5.0
SPLIT_RATIOS = (1.5, 2.0, 3.0, 4.0, 5.0)
# The news of the night moves the open after a split off the split's ratio: by 2.2 % at Apple's in 2020. A ratio is near
# within NEAR_RATIO or NEAR_DEVIATIONS deviations of the market's nights, but at most within NEAR_AT_MOST, because with
# a larger limit all ratios would be near.
NEAR_RATIO, NEAR_DEVIATIONS, NEAR_AT_MOST = 0.03, 3.0, 0.05
FEWEST_STEPS = 4
# A step counts as a multiple of the usual step if it is off by at most this share of it, as the lengths of months are.
UNEVEN = 0.2
SHORTEST_STALE = 10
EXAMPLES = 20
# A price without decimals may be only a few rounding steps large. A step counts as rounding if it is at most this share
# of the price.
MOST_OF_WHOLE_PRICE = 1e-4


def find_suspicions(columns: Columns) -> dict[str, Suspicion]:
    """Return the suspicions about bars in time order, by kind."""
    close = columns["close"]
    if len(close) < 3:
        return {}
    ticks = bad_ticks(columns)
    found = {
        "split": _described(columns, splits(columns, ticks), lambda bar: _jump(close, bar)),
        "bad_tick": _described(columns, np.flatnonzero(ticks), lambda bar: _tick(columns, ticks, bar)),
        "changed_spacing": _described(columns, changed_spacing(columns["timestamp"]), lambda bar: _step(columns, bar)),
        "stale": _described(columns, stale(columns), lambda bar: f"from here on {close[bar]:.10g}"),
        "volume_zero": _described(columns, zero_volumes(columns), lambda bar: f"close {close[bar]:.10g}"),
    }
    return {kind: suspicion for kind, suspicion in found.items() if suspicion.count}


def bad_ticks(columns: Columns) -> Mask:
    """Return which bars have a price far from their neighbours', [T].

    Deviations come from the median absolute deviation of log returns, of the whole market and of the bar's
    surroundings, whichever is larger. A close is far if the price jumps there and jumps back at the next bar, or
    within five bars if it is three times the prices before and after.
    """
    with np.errstate(all="ignore"):
        close = np.log(columns["close"])
        returns = np.diff(close)
        deviation = _deviation(returns)
        ticks = np.zeros(len(close), np.bool_)
        out, back = returns[:-1], returns[1:]
        small = np.minimum(np.abs(out), np.abs(back))
        candidates = (out * back < 0) & (small > FAR * deviation) & (np.abs(out + back) < small / 2)
        for bar in np.flatnonzero(candidates) + 1:
            ticks[bar] = small[bar - 1] > FAR * _deviation_around(returns, int(bar), deviation)
        limit = max(FAR * deviation, np.log(FAR_LEVEL))
        # The jump to a run is at least three quarters of the run's distance from its level.
        jumps = np.flatnonzero(np.abs(returns) > limit / 2)
        for length in range(2, LONGEST_RUN + 1):
            ticks |= _runs_off_level(close, jumps, length, limit)
        ticks[0] |= min(abs(close[0] - close[1]), abs(close[0] - np.median(close[1 : 1 + LASTING]))) > limit
        ticks[-1] |= min(abs(close[-1] - close[-2]), abs(close[-1] - np.median(close[-1 - LASTING : -1]))) > limit
        middle = _median_of_three(close)
        usual = float(np.median(np.log(columns["high"] / columns["low"])))
        least = max(np.log(FAR_WICK), LONG_WICK * usual)
        for name in ("open", "high", "low"):
            away = np.abs(np.log(columns[name]) - middle) > max(FAR * deviation, least)
            for bar in np.flatnonzero(away):
                around = close[max(bar - 1, 0) : bar + 2]
                price = np.log(columns[name][bar])
                distance = min(abs(price - around.min()), abs(price - around.max()))
                inside = around.min() <= price <= around.max()
                local = _deviation_around(returns, int(bar), deviation)
                ticks[bar] |= not inside and distance > max(FAR * local, least)
    return ticks


def splits(columns: Columns, ticks: Mask) -> NDArray[np.int64]:
    """Return the bars that begin a lasting new level, as an unadjusted split does.

    Between one close and the next open, the level changes by a factor of 5 or more, or nearly by the factor of a common
    split.
    """
    close, opened = columns["close"], columns["open"]
    good = np.flatnonzero(~ticks)
    if len(good) < 3:
        return np.empty(0, np.int64)
    with np.errstate(all="ignore"):
        log = np.log(close[good])
        jumps = np.diff(log)
        deviation = _deviation(jumps)
        overnight = np.log(opened[good][1:]) - log[:-1]
        near = min(max(NEAR_RATIO, NEAR_DEVIATIONS * _deviation(overnight)), NEAR_AT_MOST)
        size = np.abs(jumps)
        candidates = np.flatnonzero(size > max(FAR * deviation / 2, np.log(1.4)))
    found = []
    for place in candidates:
        before = np.median(log[max(place + 1 - LASTING, 0) : place + 1])
        after = np.median(log[place + 1 : place + 1 + LASTING])
        if abs((after - before) - jumps[place]) > max(0.3 * size[place], 3 * deviation):
            continue
        if size[place] >= np.log(LARGE_SPLIT) or _is_ratio(abs(overnight[place]), near):
            found.append(good[place + 1])
    return np.array(found, np.int64)


def changed_spacing(time: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the bars that begin a stretch with another spacing than the most common step.

    Such a stretch has at least four steps that are equal, or that are no multiples of the most common step. Missing
    bars only make multiples of it.
    """
    steps = np.diff(time.astype(np.int64))
    values, counts = np.unique(steps, return_counts=True)
    most_common = values[counts.argmax()]
    multiple = steps / most_common
    uneven = np.abs(multiple - np.maximum(np.rint(multiple), 1)) > UNEVEN
    begins, lengths = _runs(uneven)
    begins, lengths = begins[lengths >= FEWEST_STEPS], lengths[lengths >= FEWEST_STEPS]
    equal, pairs = _runs(steps[1:] == steps[:-1])
    # n equal pairs of neighbours are n + 1 equal steps.
    equal = equal[(pairs + 1 >= FEWEST_STEPS) & (steps[equal] != most_common)]
    reported = np.zeros(len(steps), np.bool_)
    for begin, length in zip(begins, lengths, strict=True):
        reported[begin : begin + length] = True
    return np.union1d(begins, equal[~reported[equal]])


def stale(columns: Columns) -> NDArray[np.int64]:
    """Return the bars that begin a long stretch of equal closes.

    Coarse prices repeat often, so a stretch is long if chance would rarely give its length in this many bars.
    """
    close = columns["close"]
    same = close[1:] == close[:-1]
    share = float(same.mean())
    usual = np.log(1e-3 / len(close)) / np.log(share) if 0 < share < 1 else 0.0
    begins, lengths = _runs(same)
    return begins[lengths + 1 >= max(SHORTEST_STALE, usual)]


def zero_volumes(columns: Columns) -> NDArray[np.int64]:
    """Return the bars that moved without volume; none if the market has no volume at all."""
    volume = columns["volume"]
    if not (volume > 0).any():
        return np.empty(0, np.int64)
    moved = (columns["high"] > columns["low"]) | (columns["open"] != columns["close"])
    return np.flatnonzero((volume == 0) & moved)


def rounding_step(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much another price may differ from the close because its last decimal was rounded, [T].

    The first 200 closes show how many decimals the prices have.
    """
    texts = (np.format_float_positional(price, trim="-") for price in close[:200].tolist())
    decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
    # The difference of two float64 may be a little more than the step.
    step = np.full(len(close), 1.01 * 10.0**-decimals)
    return step if decimals else np.minimum(step, MOST_OF_WHOLE_PRICE * close)


def _deviation(returns: NDArray[np.float64]) -> float:
    """Return the standard deviation of the returns that are not 0, estimated from their median absolute deviation."""
    moving = returns[(returns != 0) & np.isfinite(returns)]
    return 1.4826 * float(np.median(np.abs(moving))) if len(moving) else 0.0


def _deviation_around(returns: NDArray[np.float64], bar: int, deviation: float) -> float:
    """Return the deviation of the returns around a bar, except those into and out of it; at least `deviation`."""
    around = np.concatenate((returns[max(bar - 1 - AROUND, 0) : max(bar - 1, 0)], returns[bar + 1 : bar + 1 + AROUND]))
    return max(deviation, _deviation(around))


def _runs_off_level(close: NDArray[np.float64], jumps: NDArray[np.int64], length: int, limit: float) -> Mask:
    """Return which bars are in a run of `length` bars that are further than `limit` from the closes around it.

    A run may begin after each of the bars `jumps`.
    """
    off = np.zeros(len(close), np.bool_)
    before = jumps[jumps + length + 1 < len(close)]
    after = before + length + 1
    runs = close[before[:, None] + np.arange(1, length + 1)]
    distance = np.abs(runs - ((close[before] + close[after]) / 2)[:, None]).min(axis=1)
    for begin in before[(distance > limit) & (np.abs(close[after] - close[before]) < distance / 2)] + 1:
        off[begin : begin + length] = True
    return off


def _median_of_three(values: NDArray[np.float64]) -> NDArray[np.float64]:
    before, after = np.concatenate((values[1:2], values[:-1])), np.concatenate((values[1:], values[-2:-1]))
    return np.maximum(np.minimum(before, after), np.minimum(np.maximum(before, after), values))


def _is_ratio(jump: float, near: float) -> bool:
    return any(abs(jump - np.log(ratio)) < near for ratio in SPLIT_RATIOS)


def _runs(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where runs of True begin, and their lengths."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return edges[::2], edges[1::2] - edges[::2]


def _described(columns: Columns, bars: NDArray[np.int64], describe: Any) -> Suspicion:
    times = columns["timestamp"][bars[:EXAMPLES]].astype(str).tolist()
    shown = tuple(f"{time}: {describe(int(bar))}" for time, bar in zip(times, bars, strict=False))
    return Suspicion(len(bars), shown, tuple(times))


def _jump(close: NDArray[np.float64], bar: int) -> str:
    return f"close {close[bar - 1]:.10g}, then {close[bar]:.10g}"


def _tick(columns: Columns, ticks: Mask, bar: int) -> str:
    good = np.flatnonzero(~ticks)
    after = int(np.searchsorted(good, bar))
    around = columns["close"][good[max(after - 1, 0) : after + 1]]
    level = np.log(np.mean(around))
    name = max(PRICES, key=lambda price: abs(np.log(columns[price][bar]) - level))
    return f"{name} {columns[name][bar]:.10g} between closes of {' and '.join(f'{close:.10g}' for close in around)}"


def _step(columns: Columns, bar: int) -> str:
    seconds = int(columns["timestamp"][bar + 1].astype(np.int64) - columns["timestamp"][bar].astype(np.int64))
    return f"from here on {seconds:,} s between bars"
