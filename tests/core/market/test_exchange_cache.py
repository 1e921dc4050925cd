import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from structlog.testing import capture_logs

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.exchange_cache import ExchangeCache
from rl_training.core.market.exchange_series import Series
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from tests.exchange_server import NEWEST

PATH = "exchange/binance/BTC%2FUSDT/1h.parquet"


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def swap(path):
    cache = ExchangeCache(Series("binance", "ETH/USDT", "1h"), path.parents[3])
    cache.path.parent.mkdir()
    bars = ExchangeCache(Series("binance", "BTC/USDT", "1h"), path.parents[3]).read()
    assert bars is not None
    cache.write(bars)
    os.replace(cache.path, path)


@pytest.mark.parametrize("damage", [flip_a_bit, cut, swap, lambda path: path.write_bytes(b"")])
def test_a_damaged_cache_is_renamed_and_fetched_again(load_bars, tmp_path, damage):
    before = load_bars(1500)
    damage(tmp_path / PATH)
    with capture_logs() as logs:
        assert load_bars(1500).digest == before.digest
    assert [log["log_level"] for log in logs] == ["warning"]
    assert logs[0]["file"] == str(tmp_path / PATH) + ".damaged"


def test_an_unreadable_cache_is_not_treated_as_damaged(load_bars, tmp_path):
    load_bars(10)
    (tmp_path / PATH).unlink()
    (tmp_path / PATH).mkdir()
    with pytest.raises(MarketDataError, match=rf"^binance BTC/USDT 1h: {tmp_path / PATH} cannot be read: .*directory"):
        load_bars(10)


def test_a_cache_that_cannot_be_written_is_an_error(load_bars, tmp_path):
    (tmp_path / "exchange").write_text("in the way")
    with pytest.raises(MarketDataError, match=r"^binance BTC/USDT 1h: its bars cannot be cached: "):
        load_bars(10)


def test_the_cache_is_a_parquet_file_with_the_series_name(load_bars, tmp_path):
    load_bars(10)
    schema = parquet.read_schema(tmp_path / PATH)
    assert schema.metadata == {b"series": b"binance BTC/USDT 1h"}
    assert schema.names == ["timestamp", "open", "high", "low", "close", "volume"]
    # All bars of the first page are kept, and can be loaded as a file too.
    assert len(load_market(MarketConfig(source="file", path=PATH), root=tmp_path)) == 1000


def test_two_concurrent_loads_fetch_the_bars_once(load_bars, exchange):
    digests = []
    threads = [threading.Thread(target=lambda: digests.append(load_bars(2500).digest)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(set(digests)) == 1
    assert len(digests) == 2
    assert len(exchange.asked) == 3


@pytest.mark.parametrize("symbol", ["..", "../../etc/passwd", "/etc/passwd", ".", "a\\b", "%2e%2e/x"])
def test_no_symbol_leads_out_of_the_folder_of_its_exchange(symbol, tmp_path):
    path = ExchangeCache(Series("kraken", symbol, "1h"), tmp_path).path
    assert path.resolve().parents[1] == tmp_path / "exchange/kraken"


@pytest.mark.process
def test_ccxt_is_not_imported_if_the_cache_has_enough_bars(load_bars, tmp_path):
    load_bars(10)
    program = (
        "import sys; from datetime import *; from rl_training.core.market.sources import load_market;"
        "from rl_training.core.market_config import MarketConfig;"
        "config = MarketConfig(source='exchange', exchange='binance', symbol='BTC/USDT', bars=10);"
        f"load_market(config, until=datetime.fromtimestamp({NEWEST + 120}, UTC));"
        "sys.exit(', '.join({'ccxt', 'pandas'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"MARKET_DATA_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr.strip()) == (0, "")


def test_an_exchange_market_is_cached_under_market_data_root(load_bars, tmp_path, monkeypatch):
    load_bars(10)
    monkeypatch.setenv("MARKET_DATA_ROOT", str(tmp_path))
    config = MarketConfig(source="exchange", exchange="binance", symbol="BTC/USDT", bars=10)
    with capture_logs() as logs:
        # The cache has enough bars, so the real exchange gets no request.
        load_market(config, until=datetime.fromtimestamp(NEWEST + 120, UTC))
    assert {"source": "exchange", "market": "binance BTC/USDT 1h", "bars": 10, "gaps": 0}.items() <= logs[-1].items()
