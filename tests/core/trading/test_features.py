import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_training.core.config import EnvironmentConfig, FeatureName
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.trading.features import FeatureStatistics, feature_names, longest_window, market_features
from tests.trading_cases import random_market, scaled_prices

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

ALL: list[str] = list(get_args(FeatureName))
WINDOW = 103


def bars(close, **columns):
    """Minute bars from Thursday 1970-01-01 on, with these closes."""
    close = np.array(close, np.float64)
    prices = {"open": close, "high": close, "low": close, "volume": np.ones(len(close))} | columns
    timestamp = prices.pop("timestamp", np.datetime64(0, "s") + np.arange(len(close)) * np.timedelta64(60, "s"))
    return MarketData(timestamp=timestamp, close=close, **{name: np.array(v, float) for name, v in prices.items()})


def last(market, feature):
    return market_features(market, [feature])[-1].tolist()


@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.lists(st.sampled_from(ALL), min_size=1, unique=True))
def test_a_row_from_its_window_equals_the_row_from_all_bars(seed, bar, features):
    market = random_market(500, seed, volatility=0.03)
    window = longest_window(features)
    complete = market_features(market, features)[window:]
    bar %= len(complete)
    alone = market_features(market[bar : bar + window + 1], features)
    assert alone[-1].tobytes() == complete[bar].tobytes()


def test_rows_do_not_depend_on_the_start_of_the_history():
    market = random_market(40_000, seed=1)
    complete = market_features(market, ALL)
    for start in (1, 2, 3, 777, 16_383, 16_384, 20_000):
        assert market_features(market[start:], ALL)[WINDOW:].tobytes() == complete[start + WINDOW :].tobytes()


@given(st.integers(0, 2**32 - 1), st.integers(0, 299))
def test_later_bars_change_no_feature(seed, bar):
    market, other = random_market(300, seed), random_market(300, seed + 1, volatility=0.3)
    columns = ("open", "high", "low", "close", "volume")
    joined = (np.append(getattr(market, n)[: bar + 1], getattr(other, n)[bar + 1 :]) for n in columns)
    changed = market_features(MarketData(market.timestamp, *joined), ALL)
    assert changed[: bar + 1].tobytes() == market_features(market, ALL)[: bar + 1].tobytes()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 0.3, 7.7, 1e6]))
def test_scaling_all_prices_changes_no_feature(seed, factor):
    market = random_market(200, seed)
    scaled = scaled_prices(market, factor)
    np.testing.assert_allclose(market_features(scaled, ALL), market_features(market, ALL), rtol=0, atol=1e-10)


def test_each_feature_is_missing_exactly_in_its_warm_up():
    for feature in ALL:
        missing = np.isnan(market_features(random_market(150, seed=1), [feature])).any(axis=1)
        assert missing.tolist() == [bar < longest_window([feature]) for bar in range(150)]


def test_longest_window_is_that_of_the_longest_feature():
    assert longest_window(["range"]) == 0
    assert longest_window(["range", "log_return_5", "rsi_14"]) == 14
    assert longest_window(ALL) == WINDOW


def test_markets_shorter_than_the_window_have_no_feature():
    assert np.isnan(market_features(random_market(20, seed=1), ["log_return_20", "macd"])).all()


def test_time_features_have_two_columns():
    names = feature_names(["range", "time_of_day", "time_of_week"])
    assert names == ("range", "time_of_day_sin", "time_of_day_cos", "time_of_week_sin", "time_of_week_cos")


@pytest.mark.parametrize(("feature", "horizon"), [("log_return_1", 1), ("log_return_5", 5), ("log_return_20", 20)])
def test_log_return_is_the_log_of_the_price_ratio(feature, horizon):
    assert last(bars([2.0] + [7.0] * (horizon - 1) + [3.0]), feature) == [pytest.approx(math.log(1.5))]


def test_volatility_is_the_root_mean_square_of_returns():
    market = bars(np.exp([0.0, 0.1] * 10 + [0.0]))
    assert last(market, "volatility_20") == [pytest.approx(0.1)]


@pytest.mark.parametrize(
    ("changes", "expected"), [([1] * 14, 1.0), ([-1] * 14, 0.0), ([0] * 14, 0.5), ([2, -1, 0, 0, 1] + [0] * 9, 0.75)]
)
def test_rsi_is_the_share_of_rises(changes, expected):
    assert last(bars(50 + np.cumsum([0, *changes])), "rsi_14") == [pytest.approx(expected)]


def test_macd_equals_its_formula():
    close = random_market(104, seed=5).close

    def average(values, span):
        weights = (1 - 2 / (span + 1)) ** np.arange(3 * span)[::-1]
        return np.sum(weights * values[-3 * span :]) / weights.sum()

    line = [average(close[:end], 12) - average(close[:end], 26) for end in range(78, 105)]
    assert last(bars(close), "macd") == [pytest.approx((line[-1] - average(line, 9)) / close[-1], rel=1e-9)]


def test_macd_of_a_rising_trend_that_steepens_is_positive():
    assert last(bars(np.exp(np.linspace(0, 1, 104) ** 4)), "macd")[0] > 0


def test_range_is_relative_to_close():
    assert last(bars([4.0], open=[5.0], high=[6.0], low=[3.0]), "range") == [0.75]


def test_volume_zscore_equals_its_formula():
    assert last(bars([1.0] * 20, volume=[1.0] * 19 + [21.0]), "volume_zscore_20") == [pytest.approx(math.sqrt(19))]
    assert last(bars([1.0] * 20, volume=[0.1] * 20), "volume_zscore_20") == [0.0]
    assert last(bars([1.0] * 20, volume=[0.0] * 20), "volume_zscore_20") == [0.0]


@pytest.mark.parametrize(
    ("timestamp", "day", "week"),
    [
        ("2024-01-01T00:00:00", (0, 1), (0, 1)),  # a Monday
        ("2024-01-04T06:00:00", (1, 0), (math.sin(2 * math.pi * 13 / 28), math.cos(2 * math.pi * 13 / 28))),
        ("2024-01-04T12:00:00", (0, -1), (0, -1)),
        ("1969-12-29T18:00:00", (-1, 0), (math.sin(2 * math.pi * 3 / 28), math.cos(2 * math.pi * 3 / 28))),
    ],
)
def test_time_features_are_angles_of_the_day_and_of_the_week(timestamp, day, week):
    market = bars([1.0], timestamp=np.array([timestamp], "datetime64[s]"))
    assert last(market, "time_of_day") == pytest.approx(day, abs=1e-12)
    assert last(market, "time_of_week") == pytest.approx(week, abs=1e-12)


def test_statistics_standardise_their_own_bars():
    market, config = random_market(400, seed=2), EnvironmentConfig()
    statistics = FeatureStatistics.fit(market, config)
    values = market_features(market, config.features)[WINDOW:]
    standardised = (values - statistics.mean) / statistics.scale
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(standardised.std(axis=0), 1, atol=1e-9)
    assert statistics.names == feature_names(config.features)


def test_constant_features_become_zero():
    market = bars([0.1] * 300, high=[0.3] * 300, low=[0.07] * 300)
    config = EnvironmentConfig(features=ALL[:8])
    statistics = FeatureStatistics.fit(market, config)
    assert statistics.scale == (1.0,) * 8
    assert np.abs(statistics.standardise(market_features(market, config.features)[WINDOW:])).max() < 1e-12


def test_standardised_values_are_clipped_to_5():
    statistics = FeatureStatistics(names=("range",), mean=(1.0,), scale=(2.0,))
    values = statistics.standardise(np.array([[2.0], [1e300], [-1e300]]))
    assert values.dtype == np.float32
    assert values.tolist() == [[0.5], [5.0], [-5.0]]


def test_statistics_from_json_are_exactly_equal():
    statistics = FeatureStatistics.fit(random_market(300, seed=3), EnvironmentConfig(features=ALL))
    assert FeatureStatistics.from_dict(json.loads(json.dumps(statistics.as_dict()))) == statistics


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [0.0, 1.0]}, "1 names, 2 means and 1 scales"),
        ({"mean": [float("nan")]}, "mean of range is nan; it must be finite"),
        ({"scale": [0.0]}, "scale of range is 0.0; it must be finite and above 0"),
    ],
)
def test_wrong_statistics_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FeatureStatistics.from_dict({"names": ["range"], "mean": [0.0], "scale": [1.0]} | change)


def test_statistics_with_a_part_missing_are_refused():
    with pytest.raises(ValueError, match="mean, scale missing"):
        FeatureStatistics.from_dict({"names": ["range"]})


def test_too_few_bars_for_statistics_are_refused():
    with pytest.raises(MarketDataError, match="103 bars, but the features need at least 104"):
        FeatureStatistics.fit(random_market(103, seed=1), EnvironmentConfig())
