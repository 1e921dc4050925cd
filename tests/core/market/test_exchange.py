import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from rl_training.core.config_problems import find_problems
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.exchange import load_exchange
from rl_training.core.market.exchange_cache import ExchangeCache
from rl_training.core.market.exchange_series import ExchangeUnavailable, Series
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from tests.exchange_server import HOUR, exchange_server

# The hour that the exchange's newest bar opens at.
T = 1_600_002_000
PATH = "exchange/binance/BTC%2FUSDT/1h.parquet"


@pytest.fixture
def exchange():
    with exchange_server() as server:
        server.trade(T - 2999 * HOUR, T)
        yield server


@pytest.fixture
def load(exchange, tmp_path):
    """Bars of the exchange when its newest one has just opened; retries do not wait."""

    def load(bars=10, *, now=T + 120, exchange_id="binance", symbol="BTC/USDT", timeframe="1h", **more):
        config = MarketConfig(
            source="exchange", exchange=exchange_id, symbol=symbol, timeframe=timeframe, bars=bars, planted_seed=0
        )
        options = {"connect": exchange.connect, "now": lambda: now, "sleep": lambda seconds: None}
        return load_exchange(config, tmp_path, **options | more)

    return load


def opened(market):
    return market.timestamp.astype(np.int64)


def test_the_latest_bars_that_have_ended_are_loaded(load, exchange):
    market = load(3)
    assert opened(market).tolist() == [T - 3 * HOUR, T - 2 * HOUR, T - HOUR]
    assert (market.open[-1], market.high[-1], market.low[-1], market.close[-1], market.volume[-1]) == exchange.bars[
        T - HOUR
    ]


@pytest.mark.parametrize(("seconds_after_its_end", "newest"), [(59, T - HOUR), (60, T)])
def test_a_bar_counts_as_ended_a_minute_after_its_end(load, seconds_after_its_end, newest):
    assert opened(load(1, now=T + HOUR + seconds_after_its_end)) == [newest]


def test_bars_are_fetched_page_by_page_backwards_until_there_are_enough(load, exchange):
    assert len(load(2500)) == 2500
    newest = T - HOUR
    # A page holds 1000 bars, of which one overlaps.
    assert exchange.asked == [newest - 999 * HOUR, newest - 2 * 999 * HOUR, newest - 3 * 999 * HOUR]


def test_an_exchange_that_answers_shorter_pages_than_it_says_leaves_no_hole(load, exchange):
    exchange.page_limit = 400
    assert load(2500).gaps == 0


def test_what_is_kept_is_not_fetched_again(load, exchange):
    before = load(100)
    exchange.asked.clear()
    assert load(100).digest == before.digest
    assert exchange.asked == []


def test_later_only_the_bars_since_then_are_fetched(load, exchange):
    load(100)
    exchange.trade(T + HOUR, T + 5 * HOUR)
    exchange.asked.clear()
    market = load(100, now=T + 5 * HOUR + 120)
    assert exchange.asked == [T - HOUR]
    assert opened(market)[[0, -1]].tolist() == [T - 95 * HOUR, T + 4 * HOUR]
    assert market.gaps == 0


def test_asking_for_more_bars_fetches_only_the_earlier_ones(load, exchange):
    load(500)
    exchange.asked.clear()
    assert load(1500).gaps == 0
    assert exchange.asked == [T - HOUR - 2 * 999 * HOUR]


def test_the_same_instant_gives_the_same_bars_whenever_it_is_asked_for(load, exchange):
    until = datetime.fromtimestamp(T + 120, UTC)
    first = load(50, until=until)
    exchange.trade(T + HOUR, T + 5 * HOUR)
    load(50, now=T + 5 * HOUR + 120)
    assert load(50, now=T + 5 * HOUR + 120, until=until).digest == first.digest


def test_missing_bars_are_counted_and_not_filled_in(load, exchange):
    for hours in (5, 6, 1500):
        del exchange.bars[T - hours * HOUR]
    market = load(2000)
    assert (len(market), market.gaps) == (2000, 3)


def test_a_standstill_longer_than_a_page_is_looked_across(load, exchange):
    for hours in range(100, 1400):
        del exchange.bars[T - hours * HOUR]
    assert load(200).gaps == 1300


def test_more_bars_than_the_exchange_has_are_refused_with_the_number_it_has(load):
    with pytest.raises(MarketDataError) as error:
        load(3000)
    assert str(error.value) == (
        "binance BTC/USDT 1h: 3000 bars that ended by 2020-09-13T13:01:00 are needed, the exchange has 2999; "
        "set bars to at most 2999"
    )


def test_kraken_which_answers_only_its_latest_720_bars_is_extended_from_what_is_kept(load, exchange):
    load = partial(load, exchange_id="kraken", symbol="BTC/USD")
    with pytest.raises(MarketDataError, match=r"the exchange has 719; set bars to at most 719"):
        load(1000)
    exchange.trade(T + HOUR, T + 400 * HOUR)
    market = load(1000, now=T + 400 * HOUR + 120)
    assert (len(market), market.gaps) == (1000, 0)


def test_a_hole_that_an_exchange_no_longer_reaches_back_over_is_no_bar(load, exchange, tmp_path):
    load = partial(load, exchange_id="kraken", symbol="BTC/USD")
    load(700)
    exchange.trade(T + HOUR, T + 2000 * HOUR)
    path = tmp_path / "exchange/kraken/BTC%2FUSD/1h.parquet"
    with pytest.raises(MarketDataError) as error:
        load(1000, now=T + 2000 * HOUR + 120)
    assert str(error.value) == (
        "kraken BTC/USD 1h: the exchange answers no bars before 2020-11-05T22:00:00, and those kept end at "
        f"2020-09-13T12:00:00: what lies between is not to be had; remove {path} to go on with what it has"
    )
    path.unlink()
    assert load(700, now=T + 2000 * HOUR + 120).gaps == 0


def test_an_exchange_whose_first_bar_has_not_ended_has_none(load):
    with pytest.raises(MarketDataError, match="1 bars that ended by .* are needed, the exchange has 0$"):
        load(1, now=T - 2999 * HOUR + 120)


@pytest.mark.parametrize(
    "failure", [(429, "slow down"), (503, "maintenance"), (200, "<html>busy</html>"), (200, '{"a":')]
)
def test_an_exchange_that_fails_for_a_moment_is_asked_again(load, exchange, failure):
    waited = []
    exchange.failures = [failure] * 3
    assert len(load(10, sleep=waited.append)) == 10
    assert waited == [1.0, 2.0, 4.0]


def test_an_exchange_that_stays_down_is_given_up(load, exchange):
    exchange.failures = [(503, "maintenance")] * 5
    with pytest.raises(
        ExchangeUnavailable, match=r"^binance BTC/USDT 1h: the exchange does not answer, 5 times asked: "
    ):
        load(10)


def test_the_kept_bars_do_while_the_exchange_is_down_and_their_age_is_logged(load, exchange):
    before = load(100)
    exchange.failures = [(503, "maintenance")] * 5
    with capture_logs() as logs:
        assert load(100, now=T + 5 * HOUR).digest == before.digest
    [last] = [log for log in logs if log["event"] == "Using the kept bars as they are"]
    assert (last["log_level"], last["series"], last["age"]) == ("warning", "binance BTC/USDT 1h", "5:00:00")


def test_too_few_kept_bars_do_not_do(load, exchange):
    load(100)
    exchange.failures = [(503, "maintenance")] * 5
    with pytest.raises(ExchangeUnavailable):
        load(2000)


def test_an_exchange_that_no_longer_answers_the_last_bar_kept_is_not_taken_to_be_quiet(load, exchange):
    load(10)
    exchange.bars.clear()
    with capture_logs() as logs:
        load(10, now=T + 5 * HOUR)
    assert logs[-1]["reason"] == "the exchange answers no bars from 2020-09-13T12:00:00 on"


def test_what_was_fetched_before_the_exchange_failed_is_kept(load, exchange, monkeypatch):
    answer = exchange.answer

    def fail_from_the_third_page(path, query):
        if len(exchange.asked) == 2:
            exchange.failures = [(503, "maintenance")] * 5
        return answer(path, query)

    monkeypatch.setattr(exchange, "answer", fail_from_the_third_page)
    with pytest.raises(ExchangeUnavailable):
        load(2500)
    monkeypatch.undo()
    exchange.asked.clear()
    assert load(2500).gaps == 0
    assert exchange.asked == [T - HOUR - 3 * 999 * HOUR]


def test_an_error_that_trying_again_does_not_cure_is_raised_at_once(load, exchange):
    exchange.failures = [(400, '{"code":-1121,"msg":"Invalid symbol."}')]
    with pytest.raises(
        MarketDataError, match=r'^binance BTC/USDT 1h: the exchange refuses: BadSymbol .*"Invalid symbol."'
    ):
        load(10, sleep=pytest.fail)


@pytest.mark.parametrize("body", ["<html>log in</html>", '{"a":', "null", '"text"'])
def test_an_answer_that_stays_malformed_is_no_answer_without_bars(load, exchange, body):
    exchange.failures = [(200, body)] * 5
    with pytest.raises(
        MarketDataError, match=r"^binance BTC/USDT 1h: the exchange's answer is not understood, 5 times"
    ):
        load(10)


@pytest.mark.parametrize("body", ["[]", "{}", "[[1, 2], [3]]", '[["x", "1", "2", "1", "2", "5"]]'])
def test_an_answer_without_bars_is_an_error(load, exchange, body):
    exchange.failures = [(200, body)]
    with pytest.raises(
        MarketDataError, match=r"^binance BTC/USDT 1h: the exchange answers no bars from 2020-08-02T21:00:00 on$"
    ):
        load(10)


@pytest.mark.parametrize(
    ("bar", "rule"),
    [
        ((1.0, 2.0, 1.0, 3.0, 5.0), "high 2.0 is below close 3.0"),
        ((0.0, 2.0, 0.0, 1.0, 5.0), "open is 0.0; a price is a finite number"),
        ((1.0, 2.0, 1.0, "nan", 5.0), "close is nan; a price is"),
        ((1.0, 2.0, 1.0, 1.0, -5.0), "volume is -5.0; it is a finite number"),
    ],
)
def test_a_bar_that_cannot_be_is_refused_and_not_kept(load, exchange, tmp_path, bar, rule):
    exchange.bars[T - 4 * HOUR] = bar
    with pytest.raises(
        MarketDataError, match=rf"1h: the exchange answers a bar of 2020-09-13T09:00\S* that cannot be: {rule}"
    ):
        load(10)
    assert not (tmp_path / PATH).exists()


def test_an_exchange_that_has_changed_its_past_is_an_error_that_names_the_kept_file(load, exchange, tmp_path):
    load(10)
    exchange.bars[T - HOUR] = (1.0, 2.0, 1.0, 1.0, 5.25)
    with pytest.raises(MarketDataError) as error:
        load(10, now=T + HOUR + 120)
    assert str(error.value) == (
        "binance BTC/USDT 1h: the exchange answers open 1.0 of 2020-09-13T12:00:00, where it answered 108.7 before: "
        f"it has changed its past; remove {tmp_path / PATH} to fetch all bars anew"
    )


@pytest.mark.parametrize(
    ("hours", "rule"), [(999, "no longer answers a bar of"), (998.5, "answers, unlike before, a bar of")]
)
def test_an_exchange_that_drops_or_adds_a_bar_in_the_past_has_changed_it(load, exchange, hours, rule):
    load(10)
    # Makes the next page reach two bars into those kept, which begin 1000 hours before.
    del exchange.bars[T - 1500 * HOUR], exchange.bars[T - 1501 * HOUR]
    changed = T - int(hours * HOUR)
    if changed in exchange.bars:
        del exchange.bars[changed]
    else:
        exchange.bars[changed] = exchange.bars[T]
    with pytest.raises(MarketDataError, match=rf"the exchange {rule} {np.datetime64(changed, 's')}: it has changed"):
        load(1500)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def swap(path):
    cache = ExchangeCache(Series("binance", "ETH/USDT", "1h"), path.parents[3])
    cache.path.parent.mkdir()
    cache.write(ExchangeCache(Series("binance", "BTC/USDT", "1h"), path.parents[3]).read())
    os.replace(cache.path, path)


@pytest.mark.parametrize("damage", [flip_a_bit, cut, swap, lambda path: path.write_bytes(b"")])
def test_damaged_bars_are_set_aside_and_fetched_again(load, tmp_path, damage):
    before = load(1500)
    damage(tmp_path / PATH)
    with capture_logs() as logs:
        assert load(1500).digest == before.digest
    assert [log["log_level"] for log in logs] == ["warning"]
    assert logs[0]["file"] == str(tmp_path / PATH) + ".damaged"


def test_bars_that_may_not_be_read_are_not_taken_for_damaged(load, tmp_path):
    load(10)
    (tmp_path / PATH).unlink()
    (tmp_path / PATH).mkdir()
    with pytest.raises(MarketDataError, match=rf"^binance BTC/USDT 1h: {tmp_path / PATH} cannot be read: .*directory"):
        load(10)


def test_bars_that_cannot_be_kept_are_an_error(load, tmp_path):
    (tmp_path / "exchange").write_text("in the way")
    with pytest.raises(MarketDataError, match=r"^binance BTC/USDT 1h: its bars cannot be kept: "):
        load(10)


def test_the_kept_file_is_parquet_that_says_what_it_is(load, tmp_path):
    load(10)
    schema = parquet.read_schema(tmp_path / PATH)
    assert schema.metadata == {b"series": b"binance BTC/USDT 1h"}
    assert schema.names == ["timestamp", "open", "high", "low", "close", "volume"]
    # All of the first page is kept, and can be loaded as a file as well.
    assert len(load_market(MarketConfig(source="file", path=PATH), root=tmp_path)) == 1000


def test_two_that_load_at_once_fetch_the_bars_once(load, exchange):
    digests = []
    threads = [threading.Thread(target=lambda: digests.append(load(2500).digest)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(set(digests)) == 1
    assert len(digests) == 2
    assert len(exchange.asked) == 3


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"exchange_id": "binanse"}, r"^exchange 'binanse' is none that ccxt [\d.]+ knows; did you mean binance.*\?$"),
        ({"exchange_id": "bitflyer"}, r"^bitflyer BTC/USDT 1h: the exchange offers no bars$"),
        ({"symbol": "BTC/USD"}, r"^binance BTC/USD 1h: the exchange has no such symbol; did you mean BTC/USDT\?$"),
        ({"timeframe": "7m"}, r"^binance BTC/USDT 7m: the exchange has no such timeframe; it has 1s, 1m, 3m, "),
    ],
)
def test_what_the_exchange_does_not_have_is_refused(load, wrong, rule):
    with pytest.raises(MarketDataError, match=rule):
        load(10, **wrong)


@pytest.mark.parametrize("symbol", ["..", "../../etc/passwd", "/etc/passwd", ".", "a\\b", "%2e%2e/x"])
def test_no_symbol_leads_out_of_the_exchanges_folder(symbol, tmp_path):
    path = ExchangeCache(Series("kraken", symbol, "1h"), tmp_path).path
    assert path.resolve().parents[1] == tmp_path / "exchange/kraken"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("exchange", value) for value in ("../x", "Kraken", "a b", "x" * 33)),
        *(("symbol", value) for value in ("BTC USD", "BTC\n", "é", "x" * 65)),
        *(("timeframe", value) for value in ("", "1M", "1y", "0h", "../h", "h", "1h/..", "1.5h", "1h\n", "9999m")),
        *(("bars", value) for value in (0, -1, 10_000_001, True, 1.5, "5")),
    ],
)
def test_a_config_that_names_no_bars_is_refused_by_its_field(field, value):
    given = {"source": "exchange", "exchange": "kraken", "symbol": "BTC/USD", "timeframe": "1h", "bars": 10}
    with pytest.raises(ValidationError) as error:
        MarketConfig.model_validate(given | {field: value})
    assert [problem.path for problem in find_problems(error.value)] == [field]


@pytest.mark.parametrize(
    ("given", "field", "rule"),
    [
        ({}, "exchange", "required when source is exchange; an id that ccxt knows, such as kraken"),
        ({"exchange": "kraken"}, "symbol", "required when source is exchange; what is traded there, such as BTC/USD"),
    ],
)
def test_an_exchange_needs_its_id_and_a_symbol(given, field, rule):
    with pytest.raises(ValidationError) as error:
        MarketConfig(source="exchange", **given)
    assert dict(find_problems(error.value)) == {field: rule}


def test_an_exchange_market_is_loaded_under_the_environments_root_and_said_by_name(load, tmp_path, monkeypatch):
    load(10)
    monkeypatch.setenv("MARKET_DATA_ROOT", str(tmp_path))
    config = MarketConfig(source="exchange", exchange="binance", symbol="BTC/USDT", bars=10)
    with capture_logs() as logs:
        # Enough is kept until then, so that nothing is asked of the real exchange.
        load_market(config, until=datetime.fromtimestamp(T + 120, UTC))
    assert {"source": "exchange", "market": "binance BTC/USDT 1h", "bars": 10, "gaps": 0}.items() <= logs[-1].items()


def test_ccxt_is_imported_only_where_something_is_fetched(load, tmp_path):
    load(10)
    program = (
        "import sys; from datetime import *; from rl_training.core.market.sources import load_market;"
        "from rl_training.core.market_config import MarketConfig;"
        "config = MarketConfig(source='exchange', exchange='binance', symbol='BTC/USDT', bars=10);"
        f"load_market(config, until=datetime.fromtimestamp({T + 120}, UTC));"
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
