import math
from typing import Any

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap

from rl_training.core.evaluation.mean_test import mean_test, resampled_means, resamples_for, standard_error


def noise(bars, seed=1, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 0.01, bars)


def smoothed(bars):
    """Return dependent values: moving sums of three independent ones."""
    return np.convolve(noise(bars + 2), np.ones(3), "valid")


def studentised_by_arch(series, block_length, resamples, seed):
    """Return the studentised means of resamples that arch draws, whose blocks are found by their indices."""
    statistics = np.empty(resamples)
    bootstrap = StationaryBootstrap(block_length, series, seed=seed)
    for number, (data, _) in enumerate(bootstrap.bootstrap(resamples)):
        indices: Any = bootstrap.index
        resample, bars = data[0], len(series)
        begins = np.flatnonzero(np.concatenate([[True], np.diff(indices) % bars != 1]))
        sums, lengths = np.add.reduceat(resample, begins), np.diff([*begins, bars])
        deviation = math.sqrt(((sums - lengths * resample.mean()) ** 2).sum() / bars)
        statistics[number] = math.sqrt(bars) * (resample.mean() - series.mean()) / deviation
    return statistics


@pytest.mark.parametrize("block_length", [1, 4])
def test_p_values_equal_those_of_resamples_drawn_by_arch(block_length):
    series = smoothed(200) + 0.002
    found = mean_test(series, block_length=block_length, resamples=20_000)
    drawn = studentised_by_arch(series, block_length, 4_000, seed=2)
    # Four standard deviations of a share of 4,000.
    for p, share in (
        (found.p_above, (drawn >= found.statistic).mean()),
        (found.p_below, (drawn <= found.statistic).mean()),
    ):
        assert p == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4_000) + 1e-3)


def test_standard_error_is_that_of_means_drawn_by_arch():
    series = smoothed(300)
    drawn = [data[0].mean() for data, _ in StationaryBootstrap(6, series, seed=3).bootstrap(4_000)]
    assert standard_error(series, 6.0) == pytest.approx(np.std(drawn), rel=0.05)
    assert np.std(resampled_means(series, 300, block_length=6.0)) == pytest.approx(np.std(drawn), rel=0.05)


def test_standard_error_of_single_bars_is_that_of_independent_values():
    assert standard_error(np.array([1.0, 2.0, 3.0, 6.0]), 1.0) == pytest.approx(math.sqrt(3.5 / 4))


def test_blocks_widen_the_error_of_dependent_values():
    # The mean of moving sums of three deviates by sqrt(3) more than if they were independent.
    series = smoothed(4_000)
    found = mean_test(series, resamples=100)
    assert found.block_length > 3
    assert 1.4 < found.standard_error / (series.std() / math.sqrt(4_000)) < 1.8


def test_p_value_of_normal_values_is_that_of_the_t_distribution():
    # t = 0.17 / (1 / sqrt(100)) = 1.7 with 99 degrees of freedom has p = 0.046.
    series = noise(100)
    series = (series - series.mean()) / series.std(ddof=1) + 0.17
    found = mean_test(series, block_length=1.0)
    assert found.p_above == pytest.approx(0.046, abs=0.012)
    assert found.p_above + found.p_below == pytest.approx(1, abs=1e-3)


def test_opposite_series_has_opposite_p_values():
    series = noise(300, mean=0.001)
    above, below = mean_test(series), mean_test(-series)
    assert above.p_above == pytest.approx(below.p_below, abs=0.01)
    assert above.mean == -below.mean


def test_p_values_of_series_without_mean_are_evenly_spread():
    found = [mean_test(noise(100, seed), resamples=400).p_above for seed in range(300)]
    assert np.histogram(found, bins=4, range=(0, 1))[0] == pytest.approx(75, abs=30)


def test_p_value_of_a_large_gain_is_1_in_10001_and_never_0():
    found = mean_test(noise(200, mean=0.1))
    assert (found.p_above, found.p_below, found.resamples) == (1 / 10_001, 1.0, 10_000)


def test_same_seed_gives_the_same_result():
    assert mean_test(noise(100), seed=3) == mean_test(noise(100), seed=3)
    assert mean_test(noise(100), seed=3) != mean_test(noise(100), seed=4)


def test_parts_of_the_resamples_report_progress(monkeypatch):
    whole, calls = mean_test(noise(100), block_length=1.0), []
    monkeypatch.setattr("rl_training.core.evaluation.mean_test._BLOCKS_PER_CALL", 250_000)
    parts = mean_test(noise(100), block_length=1.0, on_progress=lambda: calls.append(1))
    assert (parts, len(calls)) == (whole, 4)


@pytest.mark.parametrize("value", [0.0, 0.01])
def test_constant_series_has_p_values_of_1(value):
    found = mean_test(np.full(50, value))
    assert (found.p_above, found.p_below, found.standard_error, found.statistic) == (1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize(("gains", "p_above"), [(2, 1.0), (19, 1.0), (20, 1 / 10_001)])
def test_fewer_than_20_gains_show_nothing(gains, p_above):
    series = np.zeros(500)
    series[:: 500 // gains][:gains] = 0.01
    assert mean_test(series).p_above == p_above


def test_short_series_is_refused():
    with pytest.raises(ValueError, match=r"shape \(19,\): at least 20 values"):
        mean_test(noise(19))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_value_that_is_not_finite_is_refused(value):
    series = noise(30)
    series[7] = value
    with pytest.raises(ValueError, match="value 7 is not finite"):
        mean_test(series)


def test_small_levels_need_more_resamples():
    assert [resamples_for(level) for level in (0.03, 0.002, 0.0001, 1e-9)] == [10_000, 10_000, 200_000, 2_000_000]


def test_means_of_fewer_bars_spread_more():
    means = resampled_means(noise(400), 25, block_length=1.0)
    assert np.std(means) == pytest.approx(noise(400).std() / 5, rel=0.05)
