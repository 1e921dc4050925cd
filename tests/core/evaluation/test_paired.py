import numpy as np
import pytest

from rl_training.core.evaluation.paired import paired_differences


def equity_of(*changes):
    """Return the equities of accounts with these log changes per bar."""
    return np.exp(np.cumsum(np.vstack([np.zeros(len(changes)), np.column_stack(changes)]), axis=0))


def noise(bars, seed, deviation=0.01):
    return np.random.default_rng(seed).normal(0, deviation, bars)


def test_difference_is_the_mean_of_the_log_changes():
    market = noise(400, 1)
    found = paired_differences(equity_of(market + 0.001, market), [(0, 1), (1, 0)])
    first, second = found.pairs
    assert first.mean == pytest.approx(0.001)
    assert (second.mean, second.low, second.high) == pytest.approx((-first.mean, -first.high, -first.low))
    # The common changes of both accounts cancel, and nothing else varies.
    assert (first.low, first.high) == pytest.approx((0.001, 0.001))
    assert first.distinguishable


def test_same_accounts_are_not_distinguishable():
    [pair] = paired_differences(equity_of(noise(100, 1), noise(100, 1)), [(0, 1)]).pairs
    assert (pair.mean, pair.low, pair.high, pair.distinguishable) == (0.0, 0.0, 0.0, False)


def test_interval_of_independent_bars_is_that_of_the_mean():
    found = paired_differences(equity_of(noise(1000, 1), np.zeros(1000)), [(0, 1)])
    [pair] = found.pairs
    changes = noise(1000, 1)
    half = 1.96 * changes.std() / 1000**0.5
    assert found.resamples == 10_000
    assert (pair.low, pair.high) == pytest.approx((changes.mean() - half, changes.mean() + half), abs=0.1 * half)


def test_interval_of_dependent_bars_is_wider():
    # The mean of moving sums of four deviates twice as much as if the bars were independent.
    moves = np.convolve(noise(1003, 1), [0.5] * 4, "valid")
    found = paired_differences(equity_of(moves, np.zeros(1000)), [(0, 1)])
    [pair] = found.pairs
    independent = 2 * 1.96 * moves.std() / 1000**0.5
    assert 1.5 * independent < pair.high - pair.low < 2.2 * independent
    assert found.block_length > 3


def test_same_seed_gives_the_same_interval():
    equity = equity_of(noise(200, 1), noise(200, 2))
    assert paired_differences(equity, [(0, 1)], seed=3) == paired_differences(equity, [(0, 1)], seed=3)
    assert paired_differences(equity, [(0, 1)], seed=3) != paired_differences(equity, [(0, 1)], seed=4)


def test_many_bars_are_resampled_less_often():
    found = paired_differences(equity_of(noise(40_000, 1), np.zeros(40_000)), [(0, 1)])
    assert found.resamples == 500
