"""Market files with further columns, and policies that observe them."""

from pathlib import Path
from typing import Any

import numpy as np

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import COLUMNS, MarketData
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore
from tests.trading_cases import random_market

FORMATS = Path(__file__).parents[2] / "shared" / "data" / "formats"
OWN_SIGNALS = "own_signals.csv"


def with_columns(market: MarketData, *names: str) -> MarketData:
    """Return the bars with further columns of random values, each of another size."""
    generator = np.random.default_rng(3)
    return market.with_own({name: generator.normal(0, 10.0**place, len(market)) for place, name in enumerate(names)})


def write(file: Path, market: MarketData) -> None:
    """Write the bars and their further columns as CSV."""
    columns = {name: getattr(market, name) for name in COLUMNS} | dict(market.own)
    rows = zip(*(values.tolist() if name != "timestamp" else values for name, values in columns.items()), strict=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")


def market_file(file: Path, bars: int = 400) -> MarketData:
    """Write a file with the further columns `funding` and `signal`, and return its bars."""
    market = with_columns(random_market(bars, 11, 0.02), "funding", "signal")
    write(file, market)
    return market


def observe(policy: PolicyStore, path: str, *columns: str, **environment: Any) -> None:
    """Let the policy train on a file with these further columns and one other feature."""
    policy.market = MarketConfig(source="file", path=path)
    features = ["range", *(f"column:{name}" for name in columns)]
    policy.environment = EnvironmentConfig.model_validate({"episode_length": 8, "features": features} | environment)
    policy.save_settings()
