"""Market features that a policy observes. They are causal and do not depend on where a slice of the market starts.

The feature of bar t is a fixed sequence of floating-point operations on the bars t - window to t. No state is carried
over from earlier bars, as in cumulative sums or recursive averages. So the features of bar t are the same, bit for bit,
whether they are computed from the whole history or from the last window + 1 bars. Training, evaluation and live
decisions therefore observe the same values, and a gap of `longest_window` bars separates two slices completely.

All features of `FeatureName` are dimensionless: multiplying all prices by a constant changes none of them. A feature
such as `column:funding` is the value of a further column of the market's file in the row of the bar.

To add a feature: write its formula, add it to `_FEATURES`, and add its name to `FeatureName` in `core/config.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.market_values import OWN, is_own
from rl_training.core.words import count_of

FloatArray = npt.NDArray[np.float64]

ACCOUNT_OBSERVATIONS = ("position", "unrealised_log_return", "drawdown")
"""What a policy observes of its account, after the features; see observation.py."""

CLIP = 5.0
"""Standardised features are clipped to plus or minus this value."""

# The number of rows computed at a time is small enough for the intermediate arrays to stay in the processor cache.
_CHUNK = 16_384

# A smaller deviation is the rounding of a constant: dimensionless features of real markets vary by 1e-6 or more. For a
# further column, which may have any unit, the limit is relative to the column's largest value.
_NO_DEVIATION = 1e-12

_DAY = 86_400
_WEEK = 7 * _DAY
_MONDAY = 4 * _DAY  # 1970-01-01, second 0, was a Thursday


def _rolling_sum(values: FloatArray, window: int) -> FloatArray:
    """Return sums of `window` neighbours, [n - window + 1]. The oldest value is added first."""
    count = len(values) - window + 1
    total = values[:count].copy()
    for offset in range(1, window):
        total += values[offset : offset + count]
    return total


def _moving_average(values: FloatArray, span: int) -> FloatArray:
    """Return the exponential moving average with alpha = 2 / (span + 1) over 3 x span bars, [n - 3 span + 1].

    The weights (1 - alpha)^i are normalised to sum to 1. The omitted weights of an infinite average sum to 0.25 %.
    """
    window, keep = 3 * span, 1.0 - 2.0 / (span + 1)
    count = len(values) - window + 1
    total = values[:count].copy()
    for offset in range(1, window):
        total *= keep
        total += values[offset : offset + count]
    total *= (1.0 - keep) / (1.0 - keep**window)
    return total


def _log_return(bars: MarketData, horizon: int) -> FloatArray:
    """Return log(close[t] / close[t - horizon])."""
    return np.log(bars.close[horizon:] / bars.close[:-horizon])


def _volatility(bars: MarketData, window: int) -> FloatArray:
    """Return the realised volatility per bar, sqrt(mean of r^2), over the last `window` log returns r."""
    returns = _log_return(bars, 1)
    return np.sqrt(_rolling_sum(returns * returns, window) / window)


def _rsi(bars: MarketData, window: int) -> FloatArray:
    """Return Cutler's RSI / 100: rises / (rises + falls), summed over the last `window` changes; 0.5 without changes.

    Wilder's original RSI smooths recursively and so depends on all earlier bars.
    """
    change = np.diff(bars.close)
    rises = _rolling_sum(np.maximum(change, 0.0), window)
    moves = _rolling_sum(np.abs(change), window)
    share: FloatArray = np.divide(rises, moves, out=np.full(len(moves), 0.5), where=moves > 0)
    return share


def _macd(bars: MarketData, fast: int, slow: int, signal: int) -> FloatArray:
    """Return the MACD histogram / close: (line - average(line, signal)) / close.

    line = average(close, fast) - average(close, slow). The averages are those of `_moving_average`.
    """
    slow_average = _moving_average(bars.close, slow)
    line = _moving_average(bars.close, fast)[3 * (slow - fast) :] - slow_average
    histogram: FloatArray = line[3 * signal - 1 :] - _moving_average(line, signal)
    return histogram / bars.close[-len(histogram) :]


def _range(bars: MarketData) -> FloatArray:
    """Return (high - low) / close."""
    return (bars.high - bars.low) / bars.close


def _volume_zscore(bars: MarketData, window: int) -> FloatArray:
    """Return (volume - mean) / deviation over the last `window` volumes, the bar's own included; 0 if all are equal."""
    count = len(bars.volume) - window + 1
    mean = _rolling_sum(bars.volume, window) / window
    scale = np.where(mean > 0, mean, 1.0)  # makes the threshold _NO_DEVIATION independent of the unit of volume
    squares = np.zeros(count)
    for offset in range(window):
        relative = (bars.volume[offset : offset + count] - mean) / scale
        squares += relative * relative
    deviation = np.sqrt(squares / window)
    relative = (bars.volume[window - 1 :] - mean) / scale
    return np.divide(relative, deviation, out=np.zeros(count), where=deviation > _NO_DEVIATION)


def _time(bars: MarketData, period: int, origin: int) -> FloatArray:
    """Return sin and cos of 2 pi x (seconds since the period began, UTC) / period."""
    seconds = bars.timestamp.astype("datetime64[s]").astype(np.int64)
    angle = ((seconds - origin) % period) * (2.0 * np.pi / period)
    return np.stack((np.sin(angle), np.cos(angle)), axis=1)


def _column(bars: MarketData, name: str) -> FloatArray:
    """Return the further column with this name."""
    return bars.own[name]


@dataclass(frozen=True, slots=True)
class _Feature:
    window: int  # number of earlier bars that the formula needs
    formula: Callable[[MarketData], FloatArray]  # [n - window] or [n - window, len(columns)]
    columns: tuple[str, ...] = ("",)  # suffixes of the feature's name


_FEATURES: dict[str, _Feature] = {
    "log_return_1": _Feature(1, partial(_log_return, horizon=1)),
    "log_return_5": _Feature(5, partial(_log_return, horizon=5)),
    "log_return_20": _Feature(20, partial(_log_return, horizon=20)),
    "volatility_20": _Feature(20, partial(_volatility, window=20)),
    "rsi_14": _Feature(14, partial(_rsi, window=14)),
    "macd": _Feature(3 * 26 + 3 * 9 - 2, partial(_macd, fast=12, slow=26, signal=9)),
    "range": _Feature(0, _range),
    "volume_zscore_20": _Feature(19, partial(_volume_zscore, window=20)),
    "time_of_day": _Feature(0, partial(_time, period=_DAY, origin=0), ("_sin", "_cos")),
    "time_of_week": _Feature(0, partial(_time, period=_WEEK, origin=_MONDAY), ("_sin", "_cos")),
}

VOLUME_FEATURES: frozenset[str] = frozenset({"volume_zscore_20"})


def _feature(name: str) -> _Feature:
    if is_own(name):
        return _Feature(0, partial(_column, name=name.removeprefix(OWN)))
    return _FEATURES[name]


def formula_of(feature: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a feature's formula and its parameters, such as `log_return` and {"horizon": 5}."""
    formula = _feature(feature).formula
    if isinstance(formula, partial):
        return formula.func.__name__.lstrip("_"), dict(formula.keywords)
    return formula.__name__.lstrip("_"), {}


def feature_names(features: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of `market_features`: a time feature has two, ending in _sin and _cos."""
    return tuple(name + suffix for name in features for suffix in _feature(name).columns)


def longest_window(features: Sequence[str]) -> int:
    """Return the number of earlier bars that the features of one bar depend on."""
    return max(_feature(name).window for name in features)


def needs_volume(features: Sequence[str]) -> str:
    """Return a message that names the features that need volume; empty if none does."""
    needing = [name for name in features if name in VOLUME_FEATURES]
    if not needing:
        return ""
    return f"feature {', '.join(needing)} needs volume, and the market has none; remove it from environment.features"


def market_features(market: MarketData, features: Sequence[str]) -> FloatArray:
    """Return the features of every bar, [T, F], in columns as `feature_names`; NaN if earlier bars are missing.

    Raises MarketDataError if a feature needs volume or a further column and the market has none.
    """
    if not market.has_volume and (problem := needs_volume(features)):
        raise MarketDataError(problem)
    if lacking := [name for name in features if is_own(name) and name.removeprefix(OWN) not in market.own]:
        raise MarketDataError(
            f"feature {', '.join(lacking)} is a further column, and the market was read without it; it has "
            f"{', '.join(OWN + name for name in market.own) or 'none'}"
        )
    window = longest_window(features)
    values = np.full((len(market), len(feature_names(features))), np.nan)
    for first in range(0, len(market), _CHUNK):
        start = max(first - window, 0)
        bars = market[start : first + _CHUNK]
        column = 0
        for name in features:
            feature = _feature(name)
            width = len(feature.columns)
            warm = max(first, start + feature.window)
            if warm < start + len(bars):
                block = feature.formula(bars)[warm - start - feature.window :]
                values[warm : first + _CHUNK, column : column + width] = block.reshape(-1, width)
            column += width
    return values


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Mean and scale of each feature column. They are saved with a policy and used wherever the policy decides."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]  # standard deviation, 1 for a constant feature

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.mean) == len(self.scale):
            raise ValueError(
                f"feature statistics: {len(self.names)} names, {len(self.mean)} means and {len(self.scale)} scales; "
                "there must be one of each per feature"
            )
        for field, values in (("mean", self.mean), ("scale", self.scale)):
            for name, value in zip(self.names, values, strict=True):
                if not np.isfinite(value) or (field == "scale" and value <= 0):
                    raise ValueError(
                        f"feature statistics: the {field} of {name} is {value}; it must be finite"
                        + (" and above 0" if field == "scale" else "")
                    )

    @classmethod
    def fit(cls, market: MarketData, config: EnvironmentConfig) -> Self:
        """Return the statistics of `config.features` over all bars of `market` that have a full window.

        Raises MarketDataError if no bar has a full window.
        """
        window = longest_window(config.features)
        if len(market) <= window:
            raise MarketDataError(
                f"feature statistics: {count_of(len(market), 'bar')}, but the features need at least {window + 1}"
            )
        columns = market_features(market, config.features)[window:].T
        mean = tuple(float(np.mean(column)) for column in columns)
        names = feature_names(config.features)
        sizes = (
            float(np.abs(column).max()) if is_own(name) else 1.0 for name, column in zip(names, columns, strict=True)
        )
        deviations = zip((float(np.std(column)) for column in columns), sizes, strict=True)
        scale = tuple(value if value > _NO_DEVIATION * size else 1.0 for value, size in deviations)
        return cls(names=names, mean=mean, scale=scale)

    def standardise(self, values: FloatArray) -> npt.NDArray[np.float32]:
        """Return (values - mean) / scale, [..., F], clipped to plus or minus CLIP; NaN stays NaN."""
        scaled = values - np.asarray(self.mean)
        scaled /= np.asarray(self.scale)
        standardised: npt.NDArray[np.float32] = np.clip(scaled, -CLIP, CLIP, out=scaled).astype(np.float32)
        return standardised

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary for JSON, from which `from_dict` restores exactly the same statistics."""
        return {"names": list(self.names), "mean": list(self.mean), "scale": list(self.scale)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the statistics from the values of `as_dict`. Raises ValueError that names a missing or wrong part."""
        if missing := [key for key in ("names", "mean", "scale") if key not in values]:
            raise ValueError(f"feature statistics: {', '.join(missing)} missing")
        return cls(
            names=tuple(str(name) for name in values["names"]),
            mean=tuple(float(value) for value in values["mean"]),
            scale=tuple(float(value) for value in values["scale"]),
        )
