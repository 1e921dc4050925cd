import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rl_training.core.evaluation.deflated_sharpe import deflated_sharpe, lucky_sharpe, probability_above


def test_example_of_the_paper_is_reproduced():
    # Bailey and López de Prado (2014), numerical example: daily returns of five years, annual variance of 1/2.
    daily, deviation = 2.5 / math.sqrt(250), math.sqrt(0.5 / 250)
    assert lucky_sharpe(100, deviation) == pytest.approx(0.1132, abs=5e-5)
    returns: dict[str, Any] = {"bars": 1250, "skewness": -3.0, "kurtosis": 10.0}
    assert probability_above(daily, lucky_sharpe(100, deviation), **returns) == pytest.approx(0.9004, abs=5e-5)
    assert probability_above(daily, lucky_sharpe(46, deviation), **returns) == pytest.approx(0.9505, abs=5e-5)


def test_moments_are_those_of_scipy():
    returns = np.random.default_rng(1).standard_t(5, 300) * 0.01 + 0.001
    sharpe, trials = returns.mean() / returns.std(ddof=1), [0.02, -0.05, 0.1]
    e, spread = np.euler_gamma, np.std(trials, ddof=1)
    threshold = spread * ((1 - e) * stats.norm.ppf(1 - 1 / 5) + e * stats.norm.ppf(1 - 1 / (5 * math.e)))
    variance = 1 - stats.skew(returns) * sharpe + stats.kurtosis(returns) / 4 * sharpe**2 + sharpe**2 / 2
    expected = stats.norm.cdf((sharpe - threshold) * math.sqrt(299 / variance))
    assert deflated_sharpe(returns, trials, 5) == pytest.approx(expected)


def test_one_trial_is_not_deflated():
    returns = np.tile([0.03, -0.01], 50)
    assert lucky_sharpe(1, 0.5) == 0.0
    assert deflated_sharpe(returns, [0.5], 1) == pytest.approx(1.0, abs=1e-3)
    assert deflated_sharpe(-returns, [-0.5], 1) == pytest.approx(0.0, abs=1e-3)


def test_unknown_sharpe_ratios_have_the_deviation_of_luck():
    # The best of 4 lucky trials of 401 bars is expected at 1.05 / 20, which the returns reach exactly.
    assert lucky_sharpe(4, 1 / 20) == pytest.approx(0.0526, abs=1e-4)
    returns = np.random.default_rng(1).normal(size=401)
    returns = (returns - returns.mean()) / returns.std(ddof=1) + lucky_sharpe(4, 1 / 20)
    assert deflated_sharpe(returns, [0.1], 4) == pytest.approx(0.5)


def test_constant_returns_have_no_ratio():
    assert deflated_sharpe(np.zeros(100), [0.1, 0.2], 2) is None


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="at least 20"):
        deflated_sharpe(np.arange(5.0), [0.1], 1)
    with pytest.raises(ValueError, match="value 3 is not finite"):
        deflated_sharpe(np.array([0.0, 1.0, 2.0, math.nan] * 10), [0.1], 1)
    with pytest.raises(ValueError, match="trials: got 0"):
        deflated_sharpe(np.arange(30.0), [], 0)
