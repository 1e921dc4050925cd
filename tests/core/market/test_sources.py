import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig


@pytest.mark.parametrize(
    ("source", "first_close", "volumes_of_zero"), [("sp500", 1228.099976, 0), ("nasdaq", 2208.050049, 2)]
)
def test_an_index_has_the_exchange_days_of_1999_to_2018(source, first_close, volumes_of_zero):
    market = load_market(MarketConfig(source=source))
    assert len(market) == 5031
    assert [day.isoformat() for day in market.span] == ["1999-01-04T00:00:00+00:00", "2018-12-31T00:00:00+00:00"]
    assert market.close[0] == first_close
    assert (market.volume == 0).sum() == volumes_of_zero
    assert round(market.bars_per_year, 1) == 251.6


def test_the_gaps_of_an_index_are_three_known_closures():
    assert load_market(MarketConfig()).gaps == 4 + 2 + 2


def test_loading_logs_source_and_bars():
    with capture_logs() as logs:
        load_market(MarketConfig())
    assert logs == [
        {
            "event": "Market data loaded",
            "log_level": "info",
            "source": "sp500",
            "bars": 5031,
            "gaps": 8,
            "first": "1999-01-04T00:00:00+00:00",
            "last": "2018-12-31T00:00:00+00:00",
        }
    ]


def test_files_are_read_from_market_data_root(tmp_path, monkeypatch):
    (tmp_path / "m.csv").write_text("unix,open,high,low,close,volume\n1600000000,1,2,1,2,5\n")
    config = MarketConfig(source="file", path="m.csv")
    monkeypatch.setenv("MARKET_DATA_ROOT", str(tmp_path))
    assert len(load_market(config)) == 1
    monkeypatch.delenv("MARKET_DATA_ROOT")
    with pytest.raises(MarketDataError, match=r"^m.csv: MARKET_DATA_ROOT, .* is not set"):
        load_market(config)


@pytest.mark.process
def test_loading_imports_neither_pandas_nor_arch(tmp_path):
    (tmp_path / "m.csv").write_text("unix,open,high,low,close,volume\n1600000000,1,2,1,2,5\n")
    program = (
        "import sys; from rl_training.core.market.sources import load_market;"
        "from rl_training.core.market_config import MarketConfig;"
        "load_market(MarketConfig()); load_market(MarketConfig(source='file', path='m.csv'));"
        "sys.exit(', '.join({'arch', 'pandas', 'torch', 'django'} & set(sys.modules)) or 0)"
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
