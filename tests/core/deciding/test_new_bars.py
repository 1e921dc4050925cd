"""The newest closed bars of growing files, and of exchanges, which fail in many ways."""

import tempfile
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from rl_training.core.deciding.new_bars import TAIL, ClockError, recent, tail_of_exchange, tail_of_file
from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.exchange_series import ExchangeUnavailable, Series
from rl_training.core.market_config import MarketConfig
from tests import own_columns
from tests.own_columns import with_columns
from tests.trading_cases import random_market

LONG = random_market(20_000, 1, 0.001)
# Ten years earlier, so that no bar is in the future.
BARS = MarketData(
    LONG.timestamp - np.timedelta64(87_600, "h").astype("timedelta64[s]"),
    *(getattr(LONG, name) for name in COLUMNS[1:]),
)
CONFIG = MarketConfig(source="file", path="m.csv")
SERIES = Series("kraken", "BTC/USD", "1h")


def lines(market):
    rows = zip(*(getattr(market, name) for name in COLUMNS), strict=True)
    return "".join(f"{time},{','.join(repr(float(value)) for value in values)}\n" for time, *values in rows)


def write(folder, market, end=""):
    (folder / "m.csv").write_text(",".join(COLUMNS) + "\n" + lines(market) + end)


def closes(market):
    return datetime.fromtimestamp(int(market.timestamp[-1].astype(np.int64)) + 3600, UTC)


def equal(found, wanted):
    assert found.digest == wanted.digest


def test_file_is_read_to_its_last_complete_line(tmp_path):
    write(tmp_path, BARS[:200], lines(BARS[200:201])[:-8])
    equal(tail_of_file(CONFIG, tmp_path, None, closes(BARS[:200])), BARS[:200])


def test_end_of_a_large_file_gives_the_bars_of_the_whole(tmp_path):
    write(tmp_path, BARS)
    found = tail_of_file(CONFIG, tmp_path, None, closes(BARS))
    assert TAIL < len(found) < 2000
    equal(found, BARS[len(BARS) - len(found) :])


def test_end_of_a_large_file_has_the_further_columns_that_are_named(tmp_path):
    market = with_columns(BARS, "funding", "signal")
    own_columns.write(tmp_path / "m.csv", market)
    found = tail_of_file(CONFIG, tmp_path, None, closes(BARS), ("signal",))
    assert len(found) < 2000
    equal(found, BARS.with_own({"signal": market.own["signal"]})[len(BARS) - len(found) :])


def test_large_file_is_read_as_a_whole_after_a_long_pause(tmp_path):
    write(tmp_path, BARS)
    newest = int(BARS.timestamp[100].astype(np.int64))
    found = recent(tail_of_file(CONFIG, tmp_path, newest, closes(BARS)), newest)
    assert (found.timestamp[0], found.timestamp[-1]) == (BARS.timestamp[0], BARS.timestamp[-1])


@pytest.mark.parametrize(("settings", "newest"), [({"bad_rows": "drop"}, None), ({}, 100)])
def test_last_line_of_a_large_file_that_is_read_as_a_whole_may_be_cut(tmp_path, settings, newest):
    write(tmp_path, BARS[:-1], lines(BARS[-1:])[:-8])
    config = CONFIG.model_copy(update=settings)
    since = None if newest is None else int(BARS.timestamp[newest].astype(np.int64))
    equal(tail_of_file(config, tmp_path, since, closes(BARS)), BARS[:-1])


def test_compressed_file_is_read_as_a_whole(tmp_path):
    write(tmp_path, BARS[:300])
    packed = pa.compress((tmp_path / "m.csv").read_bytes(), "zstd", asbytes=True)
    assert b"\0" not in packed[: packed.index(b"\n")]
    (tmp_path / "m.csv").write_bytes(packed)
    equal(tail_of_file(CONFIG, tmp_path, None, closes(BARS[:300])), BARS[:300])


def test_error_of_a_disk_names_the_file(tmp_path, monkeypatch):
    write(tmp_path, BARS[:200])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(MarketDataError, match=r"^m\.csv: cannot be read: .*missing"):
        tail_of_file(CONFIG, tmp_path, None, closes(BARS[:200]))


def test_bars_that_have_not_closed_are_left_out(tmp_path):
    write(tmp_path, BARS[:200])
    equal(tail_of_file(CONFIG, tmp_path, None, closes(BARS[:150])), BARS[:150])
    with pytest.raises(ClockError, match="after this machine's clock"):
        tail_of_file(CONFIG, tmp_path, None, closes(BARS[:150]) - timedelta(days=30))


def test_error_names_the_file(tmp_path):
    with pytest.raises(MarketDataError, match=r"^m\.csv: there is no such file"):
        tail_of_file(CONFIG, tmp_path, None, closes(BARS))


class Pages:
    """An exchange with the bars of a market in pages of `limit`; `broken` are raised or answered first."""

    def __init__(self, market, limit=100, broken=()):
        self.series, self.limit, self._market, self.broken = SERIES, limit, market, list(broken)

    def page(self, since):
        if self.broken:
            fault = self.broken.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        first = int(np.searchsorted(self._market.timestamp.astype(np.int64), since))
        found = self._market[first : first + self.limit] if first < len(self._market) else None
        return found


def seconds(market, bar):
    return int(market.timestamp[bar].astype(np.int64))


# A bar is settled a minute after its close.
SETTLED = timedelta(seconds=60)


def test_exchange_gives_the_last_bars_at_first_and_then_the_new_ones():
    market = BARS[:1000]
    found = tail_of_exchange(Pages(market), None, closes(market) + SETTLED)
    assert found is not None
    assert len(found) >= TAIL
    equal(found, market[len(market) - len(found) :])
    later = tail_of_exchange(Pages(BARS[:1003]), seconds(market, -1), closes(BARS[:1003]) + SETTLED)
    assert later is not None
    assert (later.timestamp[-1], len(later)) == (BARS.timestamp[1002], 54)


def test_bar_that_has_not_settled_is_left_out():
    market = BARS[:1000]
    found = tail_of_exchange(Pages(market), seconds(market, -3), closes(market) + timedelta(seconds=59))
    assert found is not None
    assert found.timestamp[-1] == market.timestamp[-2]


def test_short_pages_are_continued():
    market = BARS[:300]
    found = tail_of_exchange(Pages(market, limit=7), seconds(market, -40), closes(market) + SETTLED)
    assert found is not None
    assert found.timestamp[-1] == market.timestamp[-1]
    equal(found, market[len(market) - len(found) :])


@pytest.mark.parametrize(
    "fault",
    [
        ExchangeUnavailable("the exchange does not answer", file=str(SERIES)),
        MarketDataError("the exchange refuses: rate limit", file=str(SERIES)),
        MarketDataError("the exchange has no such symbol", file=str(SERIES)),
    ],
    ids=["outage", "rate limit", "renamed symbol"],
)
def test_fault_of_an_exchange_is_raised(fault):
    with pytest.raises(type(fault), match=fault.rule):
        tail_of_exchange(Pages(BARS[:300], broken=[fault]), seconds(BARS, 250), closes(BARS[:300]))


def test_exchange_without_known_bars_is_unavailable():
    with pytest.raises(ExchangeUnavailable, match="no bars up to the newest known bar"):
        tail_of_exchange(Pages(BARS[280:300]), seconds(BARS, 250), closes(BARS[:300]) + SETTLED)
    with pytest.raises(ExchangeUnavailable, match="no bars up to the newest known bar"):
        tail_of_exchange(Pages(BARS[:300], broken=[None]), seconds(BARS, 250), closes(BARS[:300]) + SETTLED)


def test_delisted_symbol_gives_no_new_bar():
    market = BARS[:300]
    found = tail_of_exchange(Pages(market), seconds(market, -1), closes(market) + timedelta(days=30))
    assert found is not None
    assert found.timestamp[-1] == market.timestamp[-1]


def test_recent_bars_reach_back_before_the_newest_known_one():
    market: MarketData = BARS[:500]
    assert len(recent(market, None)) == TAIL
    assert len(recent(market, seconds(market, 450))) == TAIL + 49
