"""Markets without structure: nothing known at a close predicts the next return."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from rl_training.core.market.bars import MarketData
from rl_training.core.market.planted import (
    FIRST_BAR,
    FIRST_OPEN,
    HOUR,
    LONGEST_WICK,
    VOLATILITY,
    VOLUMES,
    planted_market,
)
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig

FloatArray = npt.NDArray[np.float64]

BARS = 5000
CRASH, CRASHES = 0.2, 0.002
# GARCH(1, 1): the variance is OMEGA + ALPHA r^2 + BETA x the previous variance.
ALPHA, BETA = 0.08, 0.9
OMEGA = VOLATILITY**2 * (1 - ALPHA - BETA)
# Student's t with 4 degrees of freedom has the variance 2. Its fourth moment is infinite, so the variance is limited.
DEGREES, LARGEST_DEVIATION = 4, 0.05


def ar1_market(seed: int) -> MarketData:
    """Return a market whose returns have a correlation of 0.2."""
    return planted_market(MarketConfig(source="planted", bars=BARS, planted_seed=seed))


def random_walk(generator: np.random.Generator) -> FloatArray:
    return generator.normal(0, VOLATILITY, BARS)


def garch(generator: np.random.Generator) -> FloatArray:
    returns, variance = np.empty(BARS), VOLATILITY**2
    for bar, shock in enumerate(generator.standard_t(DEGREES, BARS) / np.sqrt(2)):
        returns[bar] = np.sqrt(variance) * shock
        variance = min(OMEGA + ALPHA * returns[bar] ** 2 + BETA * variance, LARGEST_DEVIATION**2)
    return returns


def crashes(generator: np.random.Generator) -> FloatArray:
    """Return returns with expectation 0: each bar gains what crashes lose on average."""
    loss = np.log(1 - CRASH)
    crashing: FloatArray = loss * ((generator.random(BARS) < CRASHES) - CRASHES)
    return random_walk(generator) + crashing


def signed_sp500(generator: np.random.Generator) -> FloatArray:
    """Return the returns of sp500 with random signs."""
    returns = np.diff(np.log(load_market(MarketConfig()).close))
    signed: FloatArray = returns * generator.choice([-1.0, 1.0], len(returns))
    return signed


NOISE: dict[str, Callable[[np.random.Generator], FloatArray]] = {
    "random walk": random_walk,
    "GARCH-t4": garch,
    "crashes": crashes,
    "sign-randomised sp500": signed_sp500,
}


def noise_market(kind: str, seed: int) -> MarketData:
    """Return a market with returns of this kind. Opens are previous closes; highs, lows and volumes are random."""
    generator = np.random.default_rng([seed, list(NOISE).index(kind)])
    close = FIRST_OPEN * np.exp(np.cumsum(NOISE[kind](generator)))
    opened = np.concatenate([[FIRST_OPEN], close[:-1]])
    up, down, traded = generator.random((3, len(close)))
    return MarketData(
        timestamp=FIRST_BAR + HOUR * np.arange(len(close)),
        open=opened,
        high=np.maximum(opened, close) * (1 + LONGEST_WICK * up),
        low=np.minimum(opened, close) * (1 - LONGEST_WICK * down),
        close=close,
        volume=VOLUMES[0] + (VOLUMES[1] - VOLUMES[0]) * traded,
    )
