"""Markets, rules and actions for the tests of the environment, random and hand-made."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData

FREE = {"fee": 0.0, "slippage": 0.0, "borrow_rate": 0.0, "funding_rate": 0.0}


def make_market(open_: Any, close: Any) -> MarketData:
    """Return hourly bars with these prices. High and low are the larger and the smaller of open and close."""
    open_, close = np.array(open_, np.float64), np.array(close, np.float64)
    timestamp = np.datetime64("2024-01-01T00:00:00", "s") + np.arange(len(close)) * np.timedelta64(3600, "s")
    return MarketData(timestamp, open_, np.maximum(open_, close), np.minimum(open_, close), close, np.ones(len(close)))


def random_market(bars: int, seed: int, volatility: float = 0.01, gap: float = 0.005) -> MarketData:
    """Return bars with independent returns of expectation 0, and a random gap from each close to the next open."""
    random = np.random.default_rng(seed)
    moves = random.normal(-(volatility**2) / 2, volatility, bars)
    gaps = random.normal(-(gap**2) / 2, gap, bars)
    close = 100.0 * np.exp(np.cumsum(moves + gaps))
    open_ = close / np.exp(moves)
    stretch = np.exp(np.abs(random.normal(0, volatility / 2, (2, bars))))
    timestamp = np.datetime64("2024-01-01T00:00:00", "s") + np.arange(bars) * np.timedelta64(3600, "s")
    high, low = np.maximum(open_, close) * stretch[0], np.minimum(open_, close) / stretch[1]
    return MarketData(timestamp, open_, high, low, close, random.lognormal(size=bars))


def scaled_prices(market: MarketData, factor: float) -> MarketData:
    """Return the market with all prices multiplied by `factor`."""
    open_, high, low, close = (price * factor for price in (market.open, market.high, market.low, market.close))
    return MarketData(market.timestamp, open_, high, low, close, market.volume)


def rules(**changes: Any) -> EnvironmentConfig:
    """Return rules with short episodes and a feature window of one bar, so that small markets are enough."""
    settings: dict[str, Any] = {"episode_length": 10, "features": ["log_return_1", "range", "time_of_day"]}
    return EnvironmentConfig(**(settings | changes))


@dataclass(frozen=True)
class Case:
    """One episode: a market of exactly the needed length, the rules, and an action for every step."""

    market: MarketData
    config: EnvironmentConfig
    actions: tuple[int, ...]

    def under(self, **changes: Any) -> "Case":
        """Return the same market and actions under changed rules."""
        return replace(self, config=EnvironmentConfig(**(self.config.model_dump() | changes)))

    def always(self, position: float) -> "Case":
        """Return the same market and rules with positions 0 and `position`, and `position` as every action."""
        return replace(self.under(positions=[0.0, position]), actions=(1,) * len(self.actions))


POSITIONS = ([-1.0, 0.0, 1.0], [0.0, 1.0], [-0.5, 0.5, 1.5], [-3.0, 3.0], [1.0, -1.0])


def make_case(
    seed: int,
    length: int = 12,
    volatility: float = 0.02,
    gap: float = 0.01,
    positions: int = 0,
    change: float = 0.5,
    fee: float = 0.001,
    slippage: float = 0.0005,
    borrow_rate: float = 0.001,
    funding_rate: float = 0.001,
    ruin_fraction: float = 0.1,
) -> Case:
    """Return a random market and random actions; the action changes at each step with probability `change`."""
    config = rules(
        episode_length=length,
        positions=POSITIONS[positions],
        fee=fee,
        slippage=slippage,
        borrow_rate=borrow_rate,
        funding_rate=funding_rate,
        ruin_fraction=ruin_fraction,
    )
    random = np.random.default_rng(seed)
    actions = [int(random.integers(len(config.positions)))]
    while len(actions) < length:
        actions.append(int(random.integers(len(config.positions))) if random.random() < change else actions[-1])
    return Case(random_market(length + 2, seed, volatility, gap), config, tuple(actions))


cases = st.builds(
    make_case,
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(2, 24),
    volatility=st.sampled_from([0.0001, 0.01, 0.1, 0.5]),
    gap=st.sampled_from([0.0, 0.01, 0.3]),
    positions=st.integers(0, len(POSITIONS) - 1),
    change=st.sampled_from([0.1, 0.5, 1.0]),
    fee=st.sampled_from([0.0, 0.0005, 0.05]),
    slippage=st.sampled_from([0.0, 0.0001, 0.05]),
    borrow_rate=st.sampled_from([0.0, 0.0001, 0.05]),
    funding_rate=st.sampled_from([-0.01, 0.0, 0.0001, 0.05]),
    ruin_fraction=st.sampled_from([0.01, 0.5, 0.9]),
)
"""Markets of low to high volatility. In about a third of the cases the account is ruined."""
