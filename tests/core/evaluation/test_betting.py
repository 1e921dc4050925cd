"""The comparison by betting and the change detector: literal values, their error rates, and their speed."""

import math

import numpy as np
import pytest

from rl_training.core.evaluation.betting import (
    STAKES,
    detect,
    expected_bars,
    first_alarms,
    first_promotions,
    new_bet,
)


def paths(mean, deviation, count, bars, seed=0):
    return np.random.default_rng(seed).normal(mean, deviation, (count, bars))


def test_stakes_are_sixteen_from_two_to_ninety_five_percent():
    assert (len(STAKES), STAKES[0], STAKES[-1]) == (16, pytest.approx(0.02), pytest.approx(0.95))
    assert STAKES[1] / STAKES[0] == pytest.approx((0.95 / 0.02) ** (1 / 15))


def test_evidence_after_two_bars_is_the_mean_over_stakes():
    bet = new_bet().after(0.05).after(-0.02)
    assert bet.evidence == pytest.approx(np.mean((1 + STAKES * 0.5) * (1 - STAKES * 0.2)))
    assert (bet.bars, bet.capped, bet.ended) == (2, 0, False)
    assert new_bet().evidence == 1.0


def test_gain_is_capped_and_counted():
    bet = new_bet().after(0.5)
    assert bet.evidence == pytest.approx(1 + STAKES.mean())
    assert bet.capped == 1


def test_loss_above_the_largest_ends_the_comparison():
    bet = new_bet().after(0.05).after(-0.11).after(0.09)
    assert (bet.evidence, bet.ended, bet.bars) == (0.0, True, 2)


def test_floor_is_taken_from_each_bar():
    assert new_bet().after(0.03, floor=0.01).evidence == pytest.approx(new_bet().after(0.02).evidence)


def test_detector_grows_from_zero():
    first = detect(np.zeros(16), 0.05)
    np.testing.assert_allclose(first, 1 + STAKES * 0.5)
    np.testing.assert_allclose(detect(first, -0.5), (2 + STAKES * 0.5) * (1 - STAKES))


def test_paths_equal_single_steps():
    found = paths(0.004, 0.02, 3, 400)
    for path, bars in zip(found, first_promotions(found, 0.05).tolist(), strict=True):
        bet, steps = new_bet(), 0
        while bet.evidence < 20 and steps < len(path):
            bet, steps = bet.after(path[steps]), steps + 1
        assert bars == (steps if bet.evidence >= 20 else -1)


def test_expected_bars_match_a_path_of_equal_gains():
    bet = new_bet().after(0.02)
    expected = expected_bars(bet, np.full(5, 0.02), 0.05, 0.0, 0.1)
    while bet.evidence < 20:
        bet = bet.after(0.02)
    assert math.ceil(expected) == bet.bars - 1
    assert expected_bars(new_bet(), np.array([-0.02]), 0.05, 0.0, 0.1) == math.inf


def test_null_is_promoted_in_at_most_five_percent_of_paths():
    promoted = (first_promotions(paths(0.0, 0.0098, 200, 2000), 0.05) > 0).mean()
    assert promoted <= 0.05


def test_planted_gain_is_promoted():
    bars = first_promotions(paths(0.00083, 0.0098, 100, 4000, seed=1), 0.01)
    assert np.median(np.where(bars < 0, np.inf, bars)) <= 1800


def test_alarm_is_rare_without_a_loss_and_certain_with_a_loss():
    assert (first_alarms(paths(0.0, 0.0098, 200, 2000), 87_600.0) > 0).mean() <= 0.03
    assert (first_alarms(paths(0.002, 0.0098, 50, 2000, seed=2), 87_600.0) > 0).all()
