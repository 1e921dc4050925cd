from datetime import UTC, datetime
from functools import partial

import numpy as np
import pytest

from rl_training.core.market.bars import MarketDataError
from tests.exchange_server import HOUR, NEWEST


def opened(market):
    return market.timestamp.astype(np.int64)


def test_the_latest_ended_bars_are_loaded(load_bars, exchange):
    market = load_bars(3)
    assert opened(market).tolist() == [NEWEST - 3 * HOUR, NEWEST - 2 * HOUR, NEWEST - HOUR]
    assert (market.open[-1], market.high[-1], market.low[-1], market.close[-1], market.volume[-1]) == exchange.bars[
        NEWEST - HOUR
    ]


@pytest.mark.parametrize(("seconds_after_its_end", "newest"), [(59, NEWEST - HOUR), (60, NEWEST)])
def test_a_bar_is_used_a_minute_after_its_end(load_bars, seconds_after_its_end, newest):
    assert opened(load_bars(1, now=NEWEST + HOUR + seconds_after_its_end)) == [newest]


def test_bars_are_fetched_backwards_page_by_page(load_bars, exchange):
    assert len(load_bars(2500)) == 2500
    newest = NEWEST - HOUR
    # A page holds 1000 bars, of which one overlaps.
    assert exchange.asked == [newest - 999 * HOUR, newest - 2 * 999 * HOUR, newest - 3 * 999 * HOUR]


def test_short_pages_leave_no_hole(load_bars, exchange):
    exchange.page_limit = 400
    assert load_bars(2500).gaps == 0


def test_cached_bars_are_not_fetched_again(load_bars, exchange):
    before = load_bars(100)
    exchange.asked.clear()
    assert load_bars(100).digest == before.digest
    assert exchange.asked == []


def test_a_later_load_fetches_only_new_bars(load_bars, exchange):
    load_bars(100)
    exchange.trade(NEWEST + HOUR, NEWEST + 5 * HOUR)
    exchange.asked.clear()
    market = load_bars(100, now=NEWEST + 5 * HOUR + 120)
    assert exchange.asked == [NEWEST - HOUR]
    assert opened(market)[[0, -1]].tolist() == [NEWEST - 95 * HOUR, NEWEST + 4 * HOUR]
    assert market.gaps == 0


def test_a_larger_load_fetches_only_earlier_bars(load_bars, exchange):
    load_bars(500)
    exchange.asked.clear()
    assert load_bars(1500).gaps == 0
    assert exchange.asked == [NEWEST - HOUR - 2 * 999 * HOUR]


def test_the_same_until_always_gives_the_same_bars(load_bars, exchange):
    until = datetime.fromtimestamp(NEWEST + 120, UTC)
    first = load_bars(50, until=until)
    exchange.trade(NEWEST + HOUR, NEWEST + 5 * HOUR)
    load_bars(50, now=NEWEST + 5 * HOUR + 120)
    assert load_bars(50, now=NEWEST + 5 * HOUR + 120, until=until).digest == first.digest


def test_missing_bars_are_counted_and_not_filled_in(load_bars, exchange):
    for hours in (5, 6, 1500):
        del exchange.bars[NEWEST - hours * HOUR]
    market = load_bars(2000)
    assert (len(market), market.gaps) == (2000, 3)


def test_bars_before_a_hole_longer_than_a_page_are_found(load_bars, exchange):
    for hours in range(100, 1400):
        del exchange.bars[NEWEST - hours * HOUR]
    assert load_bars(200).gaps == 1300


def test_too_many_bars_are_refused_with_the_available_number(load_bars):
    with pytest.raises(MarketDataError) as error:
        load_bars(3000)
    assert str(error.value) == (
        "binance BTC/USDT 1h: needs 3,000 bars that ended by 2020-09-13T13:01:00, but the exchange has 2999; "
        "set bars to at most 2999"
    )


def test_cached_bars_extend_the_720_bars_of_kraken(load_bars, exchange):
    load_bars = partial(load_bars, exchange_id="kraken", symbol="BTC/USD")
    with pytest.raises(MarketDataError, match=r"the exchange has 719; set bars to at most 719"):
        load_bars(1000)
    exchange.trade(NEWEST + HOUR, NEWEST + 400 * HOUR)
    market = load_bars(1000, now=NEWEST + 400 * HOUR + 120)
    assert (len(market), market.gaps) == (1000, 0)


def test_a_hole_after_the_cached_bars_is_refused(load_bars, exchange, tmp_path):
    load_bars = partial(load_bars, exchange_id="kraken", symbol="BTC/USD")
    load_bars(700)
    exchange.trade(NEWEST + HOUR, NEWEST + 2000 * HOUR)
    path = tmp_path / "exchange/kraken/BTC%2FUSD/1h.parquet"
    with pytest.raises(MarketDataError) as error:
        load_bars(1000, now=NEWEST + 2000 * HOUR + 120)
    assert str(error.value) == (
        "kraken BTC/USD 1h: the exchange answers no bars before 2020-11-05T22:00:00, and the cached bars end at "
        f"2020-09-13T12:00:00: the bars between are not available; remove {path} to continue without the cached bars"
    )
    path.unlink()
    assert load_bars(700, now=NEWEST + 2000 * HOUR + 120).gaps == 0


def test_an_exchange_whose_first_bar_has_not_ended_has_no_bars(load_bars):
    with pytest.raises(MarketDataError, match="needs 1 bar that ended by .*, but the exchange has 0$"):
        load_bars(1, now=NEWEST - 2999 * HOUR + 120)
