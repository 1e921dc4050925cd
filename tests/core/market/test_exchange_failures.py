import numpy as np
import pytest
from structlog.testing import capture_logs

from rl_training.core import outgoing
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.exchange_series import ExchangeUnavailable
from tests.exchange_server import HOUR, NEWEST

PATH = "exchange/binance/BTC%2FUSDT/1h.parquet"


@pytest.mark.parametrize(
    "failure", [(429, "slow down"), (503, "maintenance"), (200, "<html>busy</html>"), (200, '{"a":')]
)
def test_exchange_that_fails_briefly_gets_another_request(load_bars, exchange, failure):
    waited: list[float] = []
    exchange.failures = [failure] * 3
    assert len(load_bars(10, sleep=waited.append)) == 10
    assert waited == [1.0, 2.0, 4.0]


def test_exchange_at_a_private_address_gets_no_request(load_bars, exchange, monkeypatch):
    monkeypatch.setenv(outgoing.SETTING, "0")
    with pytest.raises(MarketDataError, match=f"no request is sent to the exchange: {outgoing.REFUSED}"):
        load_bars(10)


def test_an_exchange_that_stays_down_is_unavailable(load_bars, exchange):
    exchange.failures = [(503, "maintenance")] * 5
    with pytest.raises(ExchangeUnavailable, match=r"^binance BTC/USDT 1h: the exchange does not answer 5 requests: "):
        load_bars(10)


def test_cached_bars_are_used_while_the_exchange_is_down(load_bars, exchange):
    before = load_bars(100)
    exchange.failures = [(503, "maintenance")] * 5
    with capture_logs() as logs:
        assert load_bars(100, now=NEWEST + 5 * HOUR).digest == before.digest
    [last] = [log for log in logs if log["event"] == "Using the kept bars as they are"]
    assert (last["log_level"], last["series"], last["age"]) == ("warning", "binance BTC/USDT 1h", "5:00:00")


def test_too_few_cached_bars_do_not_replace_the_exchange(load_bars, exchange):
    load_bars(100)
    exchange.failures = [(503, "maintenance")] * 5
    with pytest.raises(ExchangeUnavailable):
        load_bars(2000)


def test_an_exchange_without_the_last_cached_bar_is_unavailable(load_bars, exchange):
    load_bars(10)
    exchange.bars.clear()
    with capture_logs() as logs:
        load_bars(10, now=NEWEST + 5 * HOUR)
    assert logs[-1]["reason"] == "the exchange answers no bars from 2020-09-13T12:00:00 on"


def test_bars_fetched_before_a_failure_are_cached(load_bars, exchange, monkeypatch):
    answer = exchange.answer

    def fail_from_the_third_page(path, query):
        if len(exchange.asked) == 2:
            exchange.failures = [(503, "maintenance")] * 5
        return answer(path, query)

    monkeypatch.setattr(exchange, "answer", fail_from_the_third_page)
    with pytest.raises(ExchangeUnavailable):
        load_bars(2500)
    monkeypatch.undo()
    exchange.asked.clear()
    assert load_bars(2500).gaps == 0
    assert exchange.asked == [NEWEST - HOUR - 3 * 999 * HOUR]


def test_a_permanent_error_is_raised_at_once(load_bars, exchange):
    exchange.failures = [(400, '{"code":-1121,"msg":"Invalid symbol."}')]
    with pytest.raises(
        MarketDataError, match=r'^binance BTC/USDT 1h: the exchange refuses: BadSymbol .*"Invalid symbol."'
    ):
        load_bars(10, sleep=pytest.fail)


@pytest.mark.parametrize("body", ["<html>log in</html>", '{"a":', "null", '"text"'])
def test_a_malformed_answer_is_refused_after_five_requests(load_bars, exchange, body):
    exchange.failures = [(200, body)] * 5
    with pytest.raises(MarketDataError, match=r"^binance BTC/USDT 1h: the exchange's answer to 5 requests is not"):
        load_bars(10)


@pytest.mark.parametrize("body", ["[]", "{}", "[[1, 2], [3]]", '[["x", "1", "2", "1", "2", "5"]]'])
def test_an_answer_without_bars_is_an_error(load_bars, exchange, body):
    exchange.failures = [(200, body)]
    with pytest.raises(
        MarketDataError, match=r"^binance BTC/USDT 1h: the exchange answers no bars from 2020-08-02T21:00:00 on$"
    ):
        load_bars(10)


@pytest.mark.parametrize(
    ("bar", "rule"),
    [
        ((1.0, 2.0, 1.0, 3.0, 5.0), "high 2.0 is below close 3.0"),
        ((0.0, 2.0, 0.0, 1.0, 5.0), "open is 0.0; a price is a finite number"),
        ((1.0, 2.0, 1.0, "nan", 5.0), "close is nan; a price is"),
        ((1.0, 2.0, 1.0, 1.0, -5.0), "volume is -5.0; a volume is a finite number"),
    ],
)
def test_an_invalid_bar_is_refused_and_not_cached(load_bars, exchange, tmp_path, bar, rule):
    exchange.bars[NEWEST - 4 * HOUR] = bar
    with pytest.raises(
        MarketDataError, match=rf"1h: the exchange answers an invalid bar of 2020-09-13T09:00\S*: {rule}"
    ):
        load_bars(10)
    assert not (tmp_path / PATH).exists()


def test_a_changed_bar_is_refused_with_the_path_of_the_cache(load_bars, exchange, tmp_path):
    load_bars(10)
    exchange.bars[NEWEST - HOUR] = (1.0, 2.0, 1.0, 1.0, 5.25)
    with pytest.raises(MarketDataError) as error:
        load_bars(10, now=NEWEST + HOUR + 120)
    assert str(error.value) == (
        "binance BTC/USDT 1h: the exchange answers open 1.0 of 2020-09-13T12:00:00, but answered 108.7 before: "
        f"it has changed old bars; remove {tmp_path / PATH} to fetch all bars anew"
    )


@pytest.mark.parametrize(
    ("hours", "rule"), [(999, "no longer answers a bar of"), (998.5, "answers, unlike before, a bar of")]
)
def test_an_added_or_removed_past_bar_is_refused(load_bars, exchange, hours, rule):
    load_bars(10)
    # Without these two bars, the next page overlaps the cached bars, which begin 1000 hours before, by two bars more.
    del exchange.bars[NEWEST - 1500 * HOUR], exchange.bars[NEWEST - 1501 * HOUR]
    changed = NEWEST - int(hours * HOUR)
    if changed in exchange.bars:
        del exchange.bars[changed]
    else:
        exchange.bars[changed] = exchange.bars[NEWEST]
    with pytest.raises(MarketDataError, match=rf"the exchange {rule} {np.datetime64(changed, 's')}: it has changed"):
        load_bars(1500)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"exchange_id": "binanse"}, r"^exchange 'binanse' is unknown to ccxt [\d.]+; did you mean binance.*\?$"),
        ({"exchange_id": "bitflyer"}, r"^bitflyer BTC/USDT 1h: the exchange offers no bars$"),
        ({"symbol": "BTC/USD"}, r"^binance BTC/USD 1h: the exchange has no such symbol; did you mean BTC/USDT\?$"),
        ({"timeframe": "7m"}, r"^binance BTC/USDT 7m: the exchange has no such timeframe; it has 1s, 1m, 3m, "),
    ],
)
def test_an_unknown_exchange_symbol_or_timeframe_is_refused(load_bars, wrong, rule):
    with pytest.raises(MarketDataError, match=rule):
        load_bars(10, **wrong)
