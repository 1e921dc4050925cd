from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import COLUMNS
from rl_training.core.run.walk_forward.folds import Fold, plan_folds
from rl_training.core.run.walk_forward.leaks import LeakError, check_fold, scrambled
from rl_training.core.run.walk_forward.stitching import stitch
from rl_training.core.trading import features
from rl_training.core.trading.features import FeatureStatistics
from tests.core.run.walk_forward.cases import MARKET, RECIPE, policies
from tests.trading_cases import random_market

FEATURES = [*EnvironmentConfig().features, "time_of_day", "time_of_week"]
RULES = EnvironmentConfig(features=FEATURES, episode_length=16)
BARS = random_market(600, seed=3)
FOLD = plan_folds(600, RULES, folds=2)[1]


def check(fold=FOLD, statistics=None, last=None):
    statistics = statistics or FeatureStatistics.fit(fold.training(BARS), RULES)
    check_fold(BARS, RULES, fold, statistics, BARS.timestamp[fold.train_end - 1 if last is None else last])


def one_bar_early(formula, bars):
    """Return the values of a feature, each at the bar before the one that it belongs to."""
    values = formula(bars)
    return np.concatenate([values[1:], values[-1:]])


def test_fold_without_a_leak_passes():
    check()


# The time of the next bar is known in advance.
@pytest.mark.parametrize("name", EnvironmentConfig().features)
def test_feature_that_sees_the_next_bar_is_detected(monkeypatch, name):
    leaking = replace(features._FEATURES[name], formula=partial(one_bar_early, features._FEATURES[name].formula))
    monkeypatch.setitem(features._FEATURES, name, leaking)
    with pytest.raises(LeakError, match=f"{name} at bar {FOLD.begin - 1}, .* depends on later bars"):
        check()


def test_statistics_of_one_bar_more_are_detected():
    statistics = FeatureStatistics.fit(BARS[: FOLD.train_end + 1], RULES)
    with pytest.raises(LeakError, match="statistics of the features are not those of its training bars"):
        check(statistics=statistics)


def test_training_on_one_bar_more_is_detected():
    with pytest.raises(LeakError, match="fold 1: the policy was trained until"):
        check(last=FOLD.train_end)


def test_gap_of_one_bar_less_is_detected():
    longer = Fold(1, 0, FOLD.train_end + 1, FOLD.begin, FOLD.end)
    with pytest.raises(LeakError, match="103 bars before its first traded bar; .* 104 bars before"):
        check(longer)


def test_account_of_a_leaking_fold_is_refused():
    first, second, third = policies()
    late = replace(second, trained_until=MARKET.timestamp[second.fold.begin])
    with pytest.raises(LeakError, match="fold 1"):
        stitch(MARKET, RECIPE.environment, [first, late, third])


def test_scrambled_market_differs_from_the_first_scrambled_bar_on():
    other = scrambled(BARS, 400)
    assert other[:400].digest == BARS[:400].digest
    for name in COLUMNS[1:]:
        assert (getattr(other, name)[400:] != getattr(BARS, name)[400:]).all(), name
