from datetime import UTC, datetime

import numpy as np
import pytest

from rl_training.core.market.bars import MarketData, MarketDataError, split_market

HOUR = 3600
DAY = 24 * HOUR


def market(**columns):
    """Return three hourly bars, with some columns replaced."""
    bars = {
        "timestamp": np.array([0, HOUR, 2 * HOUR], dtype="datetime64[s]"),
        "open": [10.0, 11.0, 12.0],
        "high": [12.0, 13.0, 14.0],
        "low": [9.0, 10.0, 11.0],
        "close": [11.0, 12.0, 13.0],
        "volume": [1.0, 0.0, 3.0],
    }
    return MarketData(**{name: np.asarray(values) for name, values in (bars | columns).items()})


def flat(seconds):
    """Return bars of one price at these times."""
    ones = np.ones(len(seconds))
    return MarketData(np.array(seconds, dtype="datetime64[s]"), ones, ones, ones, ones, ones)


def days(*dates):
    return flat(np.array(dates, dtype="datetime64[s]").astype(int))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"open": [10.0, np.nan, 12.0]}, "row 2: open is nan; a price is a finite number from 1e-15 to 1e+15"),
        ({"high": [12.0, 13.0, np.inf]}, "row 3: high is inf; a price is a finite number from 1e-15 to 1e+15"),
        ({"low": [0.0, 10.0, 11.0]}, "row 1: low is 0.0; a price is a finite number from 1e-15 to 1e+15"),
        ({"close": [11.0, -12.0, 13.0]}, "row 2: close is -12.0; a price is a finite number from 1e-15 to 1e+15"),
        ({"high": [12.0, 1e308, 14.0]}, "row 2: high is 1e+308; a price is a finite number from 1e-15 to 1e+15"),
        ({"high": [12.0, 9.0, 14.0]}, "row 2: high 9.0 is below low 10.0"),
        ({"high": [12.0, 13.0, 11.5]}, "row 3: high 11.5 is below open 12.0"),
        ({"close": [12.5, 12.0, 13.0]}, "row 1: high 12.0 is below close 12.5"),
        ({"low": [10.5, 10.0, 11.0]}, "row 1: low 10.5 is above open 10.0"),
        ({"close": [11.0, 9.5, 13.0]}, "row 2: low 10.0 is above close 9.5"),
        ({"volume": [1.0, 2.0, -3.0]}, "row 3: volume is -3.0; a volume is a finite number from 0 to 1e+30"),
        ({"volume": [1.0, np.nan, 3.0]}, "row 2: volume is nan; a volume is a finite number from 0 to 1e+30"),
        ({"volume": [1.0, 2.0]}, "columns differ in length: {'timestamp': 3, 'open': 3, 'high': 3, 'low': 3, "),
        ({"volume": [[1.0], [2.0], [3.0]]}, r"volume has shape (3, 1); one value per bar is needed"),
        ({"volume": ["1", "2", "a lot"]}, "volume cannot be read as float64"),
    ],
)
def test_an_invalid_bar_is_refused_with_its_row_and_rule(columns, message):
    with pytest.raises(MarketDataError) as error:
        market(**columns)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("timestamp", "message"),
    [
        (np.array([0, 7200, 3600], "M8[s]"), "row 3: timestamp 1970-01-01T01:00:00 is earlier than in the row before"),
        (np.array([0, 3600, 3600], "M8[s]"), "row 3: timestamp 1970-01-01T01:00:00 appears twice"),
        (np.array(["2020-01-01", "NaT", "2020-01-03"], "M8[s]"), "row 2: timestamp is missing (NaT)"),
        (np.array([0, 1500, 3000], "M8[ms]"), "row 2: timestamp 1970-01-01T00:00:01.500 is not a whole second"),
        (np.array([0, 3600, 7200]), "timestamp has dtype int64; datetime64 in UTC is needed"),
    ],
)
def test_invalid_timestamps_are_refused_with_row_and_rule(timestamp, message):
    with pytest.raises(MarketDataError) as error:
        market(timestamp=timestamp)
    assert str(error.value).startswith(message)


def test_a_market_without_bars_is_refused():
    with pytest.raises(MarketDataError, match="there are no bars"):
        flat([])
    with pytest.raises(MarketDataError, match="there are no bars"):
        market()[3:]


def test_an_error_names_the_file_and_how_rows_are_counted():
    error = MarketDataError("high 1.0 is below low 2.0", row=7, file="btc.csv")
    assert str(error) == "btc.csv, row 7 (header not counted): high 1.0 is below low 2.0"


def test_bars_are_read_only_copies_of_writable_arrays():
    close = np.array([11.0, 12.0, 13.0])
    bars = market(close=close)
    close[0] = 99.0
    assert bars.close[0] == 11.0
    with pytest.raises(ValueError, match="read-only"):
        bars.close[0] = 99.0


def test_a_slice_is_a_view_on_consecutive_bars():
    bars = market()
    later = bars[1:]
    assert len(later) == 2
    assert later.open.tolist() == [11.0, 12.0]
    assert np.shares_memory(later.timestamp, bars.timestamp)
    assert np.shares_memory(later.volume, bars.volume)


@pytest.mark.parametrize("index", [0, slice(None, None, 2), slice(None, None, -1)])
def test_an_index_or_a_slice_with_a_step_is_refused(index):
    with pytest.raises(TypeError, match="consecutive bars"):
        market()[index]


def test_the_digest_depends_only_on_the_values():
    assert market().digest == "3ccf5ba661fb3eb383802cc3308f5d6dc866797e5d83b9256f67d98a63e9953c"
    assert market(timestamp=np.array([0, HOUR, 2 * HOUR], dtype="M8[s]").astype("M8[ns]")).digest == market().digest
    assert market()[:].digest == market().digest
    assert market(volume=[1.0, 0.0, 4.0]).digest != market().digest
    assert market(timestamp=np.array([0, HOUR, 3 * HOUR], dtype="M8[s]")).digest != market().digest


def test_span_is_in_utc():
    assert market().span == (datetime(1970, 1, 1, 0, tzinfo=UTC), datetime(1970, 1, 1, 2, tzinfo=UTC))


def test_gaps_count_missing_bars_at_the_most_common_spacing():
    assert flat([0, HOUR, 2 * HOUR, 3 * HOUR]).gaps == 0
    assert flat([0, HOUR, 2 * HOUR, 5 * HOUR, 6 * HOUR, 8 * HOUR]).gaps == 3
    assert flat([0]).gaps == 0


def test_weekends_and_single_holidays_of_an_exchange_are_no_gaps():
    # Friday 29 March 2024 was a holiday: Thursday is followed by Monday.
    assert days("2024-03-26", "2024-03-27", "2024-03-28", "2024-04-01", "2024-04-02", "2024-04-03").gaps == 0


def test_a_week_without_daily_bars_is_a_gap_of_its_weekdays():
    # Tuesday 11 to Friday 14 September 2001.
    assert days("2001-09-06", "2001-09-07", "2001-09-10", "2001-09-17", "2001-09-18", "2001-09-19").gaps == 4


def test_a_weekend_is_a_gap_in_a_continuous_market():
    fortnight = [day * DAY for day in range(28)]
    assert flat(fortnight).gaps == 0
    # 3 and 4 January 1970 were a Saturday and a Sunday.
    assert flat([day for day in fortnight if day not in (2 * DAY, 3 * DAY)]).gaps == 2


def test_months_of_different_length_are_no_gaps():
    assert days("2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01", "2023-06-01").gaps == 0


def test_bars_per_year_are_bars_divided_by_years():
    assert flat([HOUR * hour for hour in range(100)]).bars_per_year == 8766.0
    assert days("2024-01-04", "2024-01-05", "2024-01-08").bars_per_year == 2 * 365.25 / 4
    with pytest.raises(MarketDataError, match="bars_per_year needs at least 2 bars, there is 1"):
        _ = flat([0]).bars_per_year


def test_a_split_gives_the_earlier_bars_to_training():
    train, later = split_market(flat([HOUR * hour for hour in range(11)]), 0.8)
    assert later is not None
    assert (len(train), len(later)) == (8, 3)
    assert train.timestamp[-1] < later.timestamp[0]


def test_all_bars_can_be_for_training():
    bars = flat([HOUR * hour for hour in range(11)])
    train, later = split_market(bars, 1.0)
    assert (train.digest, later) == (bars.digest, None)


def test_a_split_without_training_bars_is_refused():
    with pytest.raises(
        MarketDataError, match=r"3 bars at train_fraction 0.1 leave 0 to train on; at least 1 is needed"
    ):
        split_market(market(), 0.1)
