"""Loaders of exchange bars and of market files."""

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rl_training.core.market.exchange import load_exchange
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market_config import MarketConfig
from tests.exchange_server import HOUR, NEWEST, exchange_server


@pytest.fixture
def exchange():
    with exchange_server() as server:
        server.trade(NEWEST - 2999 * HOUR, NEWEST)
        yield server


@pytest.fixture
def load_bars(exchange, tmp_path):
    """Return a function that loads bars two minutes after the newest one opened, without waiting before retries."""

    def load_bars(bars=10, *, now=NEWEST + 120, exchange_id="binance", symbol="BTC/USDT", timeframe="1h", **more):
        config = MarketConfig(
            source="exchange", exchange=exchange_id, symbol=symbol, timeframe=timeframe, bars=bars, planted_seed=0
        )
        options = {"connect": exchange.connect, "now": lambda: now, "sleep": lambda seconds: None}
        return load_exchange(config, tmp_path, **options | more)

    return load_bars


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a file (CSV text, bytes, or columns for Parquet) and loads it with settings."""

    def load(content, name="m.csv", **settings):
        if isinstance(content, dict):
            content = pa.table(content)
        if isinstance(content, pa.Table):
            parquet.write_table(content, tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return load_file(MarketConfig(source="file", path=name, **settings), tmp_path)

    return load
