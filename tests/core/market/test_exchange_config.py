import ccxt  # type: ignore[import-untyped]
import pytest
from pydantic import ValidationError

from rl_training.core.config_problems import find_problems
from rl_training.core.market.exchange_names import missing_bars, timeframes
from rl_training.core.market_config import MarketConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("exchange", value) for value in ("../x", "Kraken", "a b", "x" * 33)),
        *(("symbol", value) for value in ("BTC USD", "BTC\n", "é", "x" * 65)),
        *(("timeframe", value) for value in ("", "1M", "1y", "0h", "../h", "h", "1h/..", "1.5h", "1h\n", "9999m")),
        *(("bars", value) for value in (0, -1, 10_000_001, True, 1.5, "5")),
    ],
)
def test_an_invalid_setting_is_refused_with_its_field(field, value):
    given = {"source": "exchange", "exchange": "kraken", "symbol": "BTC/USD", "timeframe": "1h", "bars": 10}
    with pytest.raises(ValidationError) as error:
        MarketConfig.model_validate(given | {field: value})
    assert [problem.path for problem in find_problems(error.value)] == [field]


EXCHANGE_REQUIRED = "required when source is exchange; an id that ccxt knows, such as kraken"
SYMBOL_REQUIRED = "required when source is exchange; what is traded there, such as BTC/USD"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {"exchange": EXCHANGE_REQUIRED, "symbol": SYMBOL_REQUIRED}),
        ({"exchange": "kraken"}, {"symbol": SYMBOL_REQUIRED}),
    ],
)
def test_an_exchange_market_requires_exchange_and_symbol(given, found):
    with pytest.raises(ValidationError) as error:
        MarketConfig(source="exchange", **given)
    assert dict(find_problems(error.value)) == found


def test_timeframes_are_those_of_the_clients():
    clients = [getattr(ccxt, name)() for name in ccxt.exchanges]
    offered = {client.id: tuple(client.timeframes) if client.has["fetchOHLCV"] is True else () for client in clients}
    assert {name: timeframes(name) for name in ccxt.exchanges} == offered


def test_bars_that_an_exchange_lacks_are_named():
    assert missing_bars("coinbase", "1h") is None
    assert missing_bars("coinbase", "3m") == (
        "timeframe",
        "coinbase has no timeframe 3m; it has 1m, 5m, 15m, 30m, 1h, 2h, 6h, 1d",
    )
    assert missing_bars("bitflyer", "1h") == ("exchange", "bitflyer offers no bars")
