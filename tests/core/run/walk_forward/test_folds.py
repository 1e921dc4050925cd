import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketDataError
from rl_training.core.run.walk_forward.folds import Fold, check_consecutive, plan_folds
from tests.trading_cases import random_market, rules

# The longest feature window is one bar, and an episode has ten.
RULES = rules()


def test_folds_of_equal_length_cover_the_second_half():
    folds = plan_folds(200, RULES, folds=4)
    assert [(fold.begin, fold.end) for fold in folds] == [(100, 125), (125, 150), (150, 175), (175, 200)]
    assert [(fold.train_begin, fold.train_end) for fold in folds] == [(0, 98), (0, 123), (0, 148), (0, 173)]


def test_bars_that_the_division_leaves_over_are_trained_on():
    folds = plan_folds(205, RULES, folds=4)
    assert [(fold.begin, fold.end) for fold in folds] == [(105, 130), (130, 155), (155, 180), (180, 205)]


def test_folds_train_on_the_window_before_the_gap():
    folds = plan_folds(200, RULES, folds=4, window=110, gap=5)
    assert [(fold.train_begin, fold.train_end) for fold in folds] == [(0, 95), (10, 120), (35, 145), (60, 170)]
    assert {fold.gap for fold in folds} == {5}


def test_gap_is_the_longest_feature_window_and_one_bar_by_default():
    assert {fold.gap for fold in plan_folds(5000, EnvironmentConfig())} == {104}
    assert len(plan_folds(5000, EnvironmentConfig())) == 8


def test_traded_bars_begin_with_the_window_of_the_first_decision():
    market, fold = random_market(200, seed=1), Fold(0, 0, 90, 100, 125)
    assert fold.traded(market, 7).digest == market[92:125].digest
    assert fold.training(market).digest == market[:90].digest


def test_shorter_gap_and_no_fold_are_refused():
    with pytest.raises(ValueError, match="4 folds with a gap of 1 bar; at least 1 fold and 2 bars are needed"):
        plan_folds(200, RULES, folds=4, gap=1)
    with pytest.raises(ValueError, match="0 folds"):
        plan_folds(200, RULES, folds=0)


def test_too_few_bars_are_refused_with_the_number_that_is_needed():
    with pytest.raises(MarketDataError, match="159 bars, but at least 160 are needed"):
        plan_folds(159, RULES, folds=4)
    assert len(plan_folds(160, RULES, folds=4)) == 4
    with pytest.raises(MarketDataError, match="1,439 bars, but at least 1,440 are needed: twice the 616 of an episode"):
        plan_folds(1439, EnvironmentConfig())
    with pytest.raises(MarketDataError, match=r"walk-forward: 1 bar, .* and twice 20 for the fold$"):
        plan_folds(1, RULES, folds=1)
    with pytest.raises(MarketDataError, match="window of 11 bars, but at least 12 are needed"):
        plan_folds(200, RULES, folds=4, window=11)


def test_folds_out_of_order_are_refused():
    folds = plan_folds(200, RULES, folds=4)
    check_consecutive(folds[:2])
    for wrong in ([], folds[1:], folds[::-1], [folds[0], folds[2]]):
        with pytest.raises(ValueError, match="not the first ones in their order"):
            check_consecutive(wrong)
