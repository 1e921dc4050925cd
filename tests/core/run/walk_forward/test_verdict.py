import pytest

from rl_training.core.run.walk_forward.verdict import Outcome, ends_validation, judge, trial_level


def verdict(flat, held, below=0.9, trial=1, **changes):
    return judge({"flat": flat, "buy_and_hold": held, "trained_once": 0.7}, below, bars=1000, trial=trial, **changes)


def test_levels_of_all_trials_sum_to_alpha():
    assert [trial_level(trial) for trial in (1, 2, 10)] == pytest.approx([0.030396, 0.007599, 0.00030396], rel=1e-4)
    assert sum(trial_level(trial, 0.1) for trial in range(1, 100_000)) == pytest.approx(0.1, abs=1e-6)
    with pytest.raises(ValueError, match="trial: got 0"):
        trial_level(0)


def test_recipe_that_beats_every_reference_is_validated():
    found = verdict(0.001, 0.03)
    assert found.outcome == Outcome.VALIDATED
    assert found.p_above == {"flat": 0.001, "buy_and_hold": 0.03}
    assert found.sentence == (
        "Validated: over 1,000 bars it beat flat (p = 0.001) and buy and hold (p = 0.03), each below 0.03, the level "
        "of trial 1."
    )


def test_later_trial_needs_a_smaller_p_value():
    assert verdict(0.001, 0.0075, trial=2).outcome == Outcome.VALIDATED
    assert verdict(0.001, 0.0077, trial=2).outcome == Outcome.INCONCLUSIVE
    assert verdict(0.001, 0.0077, trial=2, must_beat=["flat"]).outcome == Outcome.VALIDATED


def test_recipe_behind_flat_is_refused():
    found = verdict(0.99, 0.4, below=0.01)
    assert found.outcome == Outcome.REFUSED
    assert found.sentence == (
        "Refused: over 1,000 bars it was behind flat (p = 0.01), below 0.03, the level of trial 1."
    )


def test_p_value_at_the_level_is_inconclusive():
    level = trial_level(1)
    assert verdict(level, level).outcome == verdict(0.9, 0.9, below=level).outcome == Outcome.INCONCLUSIVE


def test_inconclusive_verdict_says_how_many_more_bars_would_validate():
    # The quantiles of the level and of p = 0.1587 are 1.875 and 1: 1.875^2 = 3.516 times the bars are needed.
    found = verdict(0.01, 0.158655)
    assert found.further_bars == pytest.approx(2516, abs=2)
    assert found.sentence.endswith(
        f"At the present estimate {found.further_bars:,} more traded bars would validate it at this level."
    )


def test_inconclusive_verdict_says_how_many_more_bars_would_refuse():
    found = verdict(0.841345, 0.01, below=0.158655)
    assert found.further_bars == pytest.approx(2516, abs=2)
    assert found.sentence.endswith("more traded bars would refuse it at this level.")


def test_recipe_between_the_references_is_never_decided():
    found = verdict(0.2, 0.6, below=0.8)
    assert found.further_bars is None
    assert found.sentence == (
        "Inconclusive: over 1,000 bars p is 0.2 against flat and 0.6 against buy and hold; trial 1 needs both below "
        "0.03. At the present estimate no number of bars would decide."
    )


def test_missing_references_are_refused():
    with pytest.raises(ValueError, match="must_beat: other without a p-value"):
        verdict(0.1, 0.1, must_beat=["flat", "other"])
    with pytest.raises(ValueError, match="must_beat: nothing"):
        verdict(0.1, 0.1, must_beat=[])


def test_validation_ends_below_one_in_twenty():
    assert [ends_validation(p) for p in (0.049, 0.05, 0.9)] == [True, False, False]
