"""Each file in shared/data/formats is read as its row in shared/data/README.md says."""

from pathlib import Path

import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.features import market_features

FORMATS = Path(__file__).parents[5] / "shared" / "data" / "formats"
pytestmark = pytest.mark.skipif(not FORMATS.exists(), reason="the shared market data is not beside the checkout")

DAYS, HOURS = ("2024-08-01T00:00:00", "2024-10-23T00:00:00"), ("2024-11-01T00:00:00", "2024-11-03T11:00:00")
MINUTES = ("2024-03-08T09:30:00", "2024-03-08T10:29:00")
# File: layout; first and last timestamp; open, high, low, close and volume of the first bar.
LOADED = {
    "binance_klines_ms.csv": ("binance_klines", HOURS, (100.0, 100.1, 98.68, 98.78, 8.3937)),
    "binance_klines_us.csv": ("binance_klines", HOURS, (100.0, 100.1, 98.68, 98.78, 8.3937)),
    "binance_header_repeated.csv": ("binance_klines", HOURS, (100.0, 100.1, 98.68, 98.78, 8.3937)),
    "kraken_ohlcvt.csv": ("kraken_ohlcvt", HOURS, (100.0, 100.1, 98.68, 98.78, 8.3937)),
    "yfinance_download.csv": (
        "by_name",
        DAYS,
        (100.0, 102.62280321134527, 99.9, 102.52028292841686, 2907.0),
    ),
    "yfinance_history.csv": (
        "yfinance_history",
        ("2024-08-01T04:00:00", "2024-12-18T05:00:00"),
        (100.0, 100.1, 99.7664251136486, 99.86629140505364, 5309.0),
    ),
    "stooq_bulk.csv": ("stooq_bulk", DAYS, (100.0, 102.62280321134527, 99.9, 102.52028292841686, 2907.0)),
    "metatrader5.csv": ("metatrader5", HOURS, (100.0, 100.1, 98.68461, 98.78339, 839.0)),
    "metatrader4.csv": ("metatrader4", HOURS, (100.0, 100.1, 98.68461, 98.78339, 839.0)),
    "histdata_m1.csv": (
        "histdata_ascii",
        ("2024-03-08T14:30:00", "2024-03-08T15:29:00"),
        (100.0, 101.197671, 99.9, 101.096575, 0.0),
    ),
    "cryptodatadownload.csv": (
        "cryptodatadownload",
        HOURS,
        (100.0, 100.1, 98.68460523032527, 98.78338861894422, 8.393684672189835),
    ),
    "polygon_short_names.csv": (
        "polygon",
        HOURS,
        (100.0, 100.1, 98.68460523032527, 98.78338861894422, 8.393684672189835),
    ),
    "european.csv": ("by_name", DAYS, (100.0, 102.62, 99.9, 102.52, 2907.0)),
    "investing_com.csv": ("investing_com", DAYS, (9000.0, 9236.05, 8991.0, 9226.83, 2910.0)),
    "date_and_time_columns.csv": (
        "by_name",
        MINUTES,
        (100.0, 101.19767114855229, 99.9, 101.09657457397832, 1.597433735652408),
    ),
    "month_first.csv": ("by_name", DAYS, (100.0, 102.62280321134527, 99.9, 102.52028292841686, 2.907257541407862)),
    "adjusted_close_and_split.csv": ("yahoo", DAYS, (100.0, 102.6228, 99.9, 102.52028292841686, 2.907257541407862)),
    "high_one_rounding_step_below_close.csv": (
        "by_name",
        DAYS,
        (100.0, 102.62280321134527, 99.9, 102.52028292841686, 2.907257541407862),
    ),
    "null_rows.csv": ("by_name", DAYS, (100.0, 102.62280321134527, 99.9, 102.52028292841686, 2.907257541407862)),
    "last_day_twice.csv": ("by_name", DAYS, (100.0, 102.62280321134527, 99.9, 102.52028292841686, 2.907257541407862)),
    "own_signals.csv": (
        "by_name",
        HOURS,
        (100.0, 100.1, 98.68460523032527, 98.78338861894422, 8.393684672189835),
    ),
}


def read(name, **settings):
    return load_file(MarketConfig(source="file", path=name, **settings), FORMATS)


def first_bar(market):
    return tuple(float(getattr(market, name)[0]) for name in ("open", "high", "low", "close", "volume"))


@pytest.mark.parametrize("name", LOADED)
def test_sample_loads_with_its_original_bars(name):
    layout, span, bar = LOADED[name]
    market = read(name)
    assert market.reading.layout == layout
    assert (str(market.timestamp[0]), str(market.timestamp[-1])) == span
    exact = "adjusted" not in name
    assert first_bar(market) == (bar if exact else pytest.approx(bar, rel=1e-6))
    assert len(market) == {"yfinance_history.csv": 100, "null_rows.csv": 59}.get(name, 60)
    assert market.reading.suspicions == {}


@pytest.mark.parametrize(
    ("name", "repairs", "drops"),
    [
        ("binance_header_repeated.csv", {}, {"repeated_headers": 1}),
        ("high_one_rounding_step_below_close.csv", {"rounding": 1}, {}),
        ("null_rows.csv", {}, {"null_rows": 1}),
        ("last_day_twice.csv", {}, {"duplicate_rows": 1}),
        ("investing_com.csv", {"sorted": 60}, {}),
        ("kraken_ohlcvt.csv", {}, {}),
    ],
)
def test_changes_to_a_sample_are_counted(name, repairs, drops):
    reading = read(name).reading
    assert (reading.repairs, reading.drops) == (repairs, drops)


def test_sample_without_volume_refuses_only_features_that_need_volume():
    market = read("dukascopy_node.csv")
    assert first_bar(market)[:4] == (100.0, 100.1, 98.68461, 98.78339)
    assert np.isnan(market.volume).all()
    features = EnvironmentConfig().features
    with pytest.raises(MarketDataError, match="feature volume_zscore_20 needs volume, and the market has none"):
        market_features(market, features)
    market_features(market, [name for name in features if name != "volume_zscore_20"])


def test_instrument_of_two_is_read_if_symbol_names_it():
    with pytest.raises(MarketDataError) as error:
        read("two_tickers.csv")
    assert str(error.value) == "two_tickers.csv: has 2 instruments, 'AAA', 'BBB': set symbol to one of them"
    assert (read("two_tickers.csv", symbol="AAA").open[0], read("two_tickers.csv", symbol="bbb").open[0]) == (100, 200)
    assert read("two_tickers.csv", symbol="AAA").reading.drops == {"other_instruments": 60}


@pytest.mark.parametrize("name", ["metatrader4.csv", "metatrader5.csv"])
def test_unknown_time_zone_of_a_broker_is_noted_until_it_is_set(name):
    asked = "the times are the broker's, which are rarely UTC; `timezone` names their zone"
    reading = read(name).reading
    assert (reading.zone, reading.notes) == ("taken as UTC", (asked,))
    market = read(name, timezone="Etc/GMT-2")
    assert str(market.timestamp[0]) == "2024-10-31T22:00:00"
    assert (market.reading.zone, market.reading.notes) == ("Etc/GMT-2, the setting timezone", ())


def test_adjusted_prices_are_used_and_reported_unless_adjust_is_none():
    market = read("adjusted_close_and_split.csv")
    assert np.abs(np.diff(np.log(market.close))).max() < 0.03
    assert market.reading.notes == ("close is 'adjClose', and open, high and low are scaled like it",)
    with pytest.raises(MarketDataError, match="a lasting jump, as of an unadjusted split; adjust the prices"):
        read("adjusted_close_and_split.csv", adjust="none")
    raw = read("adjusted_close_and_split.csv", adjust="none", suspicious="warn")
    assert (raw.open[0], raw.reading.suspicions["split"].count) == (1000.0, 1)


def test_bad_tick_is_refused_or_dropped_and_never_taken_silently():
    with pytest.raises(MarketDataError) as error:
        read("one_bad_tick.csv")
    assert str(error.value) == (
        "one_bad_tick.csv: 2024-09-12T00:00:00: high 100590.3416 between closes of 100.4898518 and 99.10444426: a bad "
        "tick; bad_rows: drop leaves such bars out, and suspicious: warn uses them"
    )
    dropped = read("one_bad_tick.csv", bad_rows="drop")
    assert (len(dropped), dropped.close.max() < 120, dropped.reading.drops) == (59, True, {"bad_ticks": 1})
    taken = read("one_bad_tick.csv", suspicious="warn")
    assert (len(taken), taken.reading.suspicions["bad_tick"].count) == (60, 1)


def test_further_columns_of_a_sample_are_reported():
    assert read("own_signals.csv").reading.unused == ("funding", "sentiment")
