"""Further columns of a market as features."""

import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketDataError
from rl_training.core.run.walk_forward.folds import plan_folds
from rl_training.core.run.walk_forward.leaks import LeakError, check_fold, scrambled
from rl_training.core.trading import features
from rl_training.core.trading.features import FeatureStatistics, longest_window, market_features
from tests.own_columns import with_columns
from tests.trading_cases import random_market

MARKET = with_columns(random_market(400, 1, 0.02), "funding", "signal")
RULES = EnvironmentConfig(features=["log_return_5", "column:signal", "column:funding"], episode_length=16)


def test_feature_is_the_value_in_the_row_of_the_bar():
    values = market_features(MARKET, RULES.features)
    assert longest_window(["column:signal"]) == 0
    np.testing.assert_array_equal(values[:, 1:], np.stack([MARKET.own["signal"], MARKET.own["funding"]], axis=1))


def test_later_values_change_nothing_earlier():
    changed = scrambled(MARKET, 200)
    assert (changed.own["signal"][200:] != MARKET.own["signal"][200:]).all()
    before, after = (market_features(market, RULES.features) for market in (MARKET, changed))
    assert before[:200].tobytes() == after[:200].tobytes()
    fitted = [FeatureStatistics.fit(market[:200], RULES) for market in (MARKET, changed)]
    assert fitted[0] == fitted[1]


def test_column_that_is_shifted_by_a_bar_is_detected_as_a_leak(monkeypatch):
    fold = plan_folds(len(MARKET), RULES, folds=2)[0]
    found = FeatureStatistics.fit(fold.training(MARKET), RULES)
    until = MARKET.timestamp[fold.train_end - 1]
    check_fold(MARKET, RULES, fold, found, until)
    monkeypatch.setattr(features, "_column", lambda bars, name: np.append(bars.own[name][1:], bars.own[name][-1]))
    with pytest.raises(LeakError, match="statistics of the features"):
        check_fold(MARKET, RULES, fold, found, until)


@pytest.mark.parametrize("unit", [1e-20, 1e-9, 1.0, 1e9, 1e25])
def test_unit_of_a_column_does_not_matter(unit):
    config = EnvironmentConfig(features=["column:x"])
    market = MARKET.with_own({"x": MARKET.own["funding"] * unit})
    found = FeatureStatistics.fit(market, config).standardise(market_features(market, config.features))
    assert found.std() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e12 / 3])
def test_constant_column_is_observed_as_zero(value):
    market = MARKET.with_own({"x": np.full(len(MARKET), value)})
    statistics = FeatureStatistics.fit(market, EnvironmentConfig(features=["column:x"]))
    assert statistics.scale == (1.0,)
    assert np.abs(statistics.standardise(market_features(market, ["column:x"]))).max() < 1e-3


def test_market_without_the_column_is_refused_by_name():
    with pytest.raises(MarketDataError, match="feature column:gone is a further column.* it has column:funding, col"):
        market_features(MARKET, ["range", "column:gone"])


@pytest.mark.parametrize(
    ("own", "rule"),
    [
        ({"x": [1.0] * 399}, "column:x has 399 values for 400 bars"),
        ({"x": [1.0] * 399 + [np.nan]}, "row 400: column:x is nan; a value is a finite number from -1e+30 to 1e+30"),
    ],
)
def test_column_of_other_length_or_without_a_number_is_refused(own, rule):
    with pytest.raises(MarketDataError) as error:
        MARKET.with_own(own)
    assert str(error.value) == rule
