"""Synthetic markets with a planted pattern, whose best policy is known, for tests and benchmarks."""

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from rl_training.core.market.bars import MAX_PRICE, MIN_PRICE, MarketData, MarketDataError
from rl_training.core.market_config import MarketConfig

# Standard deviation of the log return of a bar; for a hidden regime, the deviation around the drift.
VOLATILITY = 0.01

FIRST_BAR = np.datetime64("1990-01-01", "s")
HOUR = np.timedelta64(3600, "s")
FIRST_OPEN = 100.0
# The largest distance of high and low from open and close, as a fraction of the price: about half a bar's movement.
LONGEST_WICK = 0.005
VOLUMES = (500.0, 1500.0)


def planted_market(config: MarketConfig) -> MarketData:
    """Return `config.bars` synthetic hourly bars from 1990-01-01 on, with the log returns `planted_returns(config)`.

    Each bar opens at the previous close, so that a decision at a close earns exactly the next return. High, low and
    volume are drawn independently of the returns. The same seed gives the same bars, bit for bit on one machine; on
    another machine the last bit of an exponential may differ. With more bars, the first bars stay the same. Raises
    MarketDataError if a price leaves the range of MarketData.
    """
    close = FIRST_OPEN * np.exp(np.cumsum(planted_returns(config)))
    open_ = np.concatenate(([FIRST_OPEN], close[:-1]))
    *_, rest = _generators(config)
    wick_up, wick_down, traded = rest.random((config.bars, 3)).T
    high = np.maximum(open_, close) * (1 + LONGEST_WICK * wick_up)
    low = np.minimum(open_, close) * (1 - LONGEST_WICK * wick_down)
    if low.min() < MIN_PRICE or high.max() > MAX_PRICE:
        raise MarketDataError(
            f"{config.label}: over {config.bars} bars the price leaves {MIN_PRICE:g} to {MAX_PRICE:g}; choose fewer "
            "bars, another planted_seed, or a smaller planted_phi or planted_drift"
        )
    return MarketData(
        timestamp=FIRST_BAR + HOUR * np.arange(config.bars),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=VOLUMES[0] + (VOLUMES[1] - VOLUMES[0]) * traded,
    )


def planted_returns(config: MarketConfig) -> NDArray[np.float64]:
    """Return the log returns r from close to close, [bars]. With s = VOLATILITY and z independent N(0, 1):

    ar1: r[t] = phi r[t-1] + s sqrt(1 - phi^2) z[t], r[0] = s z[0], so that each r is N(0, s).
    regime: r[t] = d[t] + s z[t]; d is +drift or -drift, either with probability 1/2 at first, and changes sign from one
    bar to the next with probability switching.
    independent: r[t] = s z[t].
    """
    normal, uniform, _ = _generators(config)
    noise = VOLATILITY * normal.standard_normal(config.bars)
    match config.planted_kind:
        case "ar1":
            phi = config.planted_phi
            noise[1:] *= np.sqrt(1 - phi**2)
            return np.array(list(accumulate(noise.tolist(), lambda last, new: phi * last + new)))
        case "regime":
            up = uniform.random() < 0.5
            turns = uniform.random(config.bars) < config.planted_switching
            signs = np.cumprod(np.where(turns, -1.0, 1.0))
            return noise + config.planted_drift * (signs if up else -signs)
    return noise


def _generators(config: MarketConfig) -> list[np.random.Generator]:
    """Return separate generators for noise, regime and the rest, so that more bars do not change earlier draws."""
    return np.random.default_rng(config.planted_seed).spawn(3)
