"""A market of any length for measurements of speed."""

import numpy as np

from rl_training.core.market.bars import MarketData


def random_walk(bars: int) -> MarketData:
    """Return this many one-minute bars whose closes move by a normal log return with deviation 2 bp."""
    generator = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(generator.normal(0, 2e-4, bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    return MarketData(
        timestamp=np.datetime64("2020-01-01", "ns") + 60 * 10**9 * np.arange(bars).astype("timedelta64[ns]"),
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=generator.uniform(1, 100, bars),
    )
