"""The deflated Sharpe ratio: the probability that the best of several trials is better than luck.

Bailey and López de Prado, "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest Overfitting and
Non-Normality" (2014). Sharpe ratios are per bar here, not annualised.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from rl_training.core.evaluation.block_length import NO_DEVIATION
from rl_training.core.evaluation.mean_test import check_series
from rl_training.core.trading.accounting import FloatArray

NORMAL = NormalDist()


def deflated_sharpe(returns: FloatArray, sharpes: Sequence[float], trials: int) -> float | None:
    """Return the probability, 0 to 1, that the true Sharpe ratio is above what luck gives the best of the trials.

    returns  simple returns of the chosen trial, [bars]
    sharpes  the Sharpe ratios of the trials that have one, this one included
    trials   how many trials there were, also those without a Sharpe ratio

    Returns None if all returns are equal. Where fewer than two Sharpe ratios are known, their deviation is taken to be
    sqrt(1 / (bars - 1)), that of a Sharpe ratio of 0. Raises ValueError for fewer than 20 returns, for values that are
    not finite and for fewer than one trial.
    """
    values = np.asarray(returns, np.float64)
    check_series(values)
    deviation = float(values.std(ddof=1))
    if deviation < NO_DEVIATION:
        return None
    spread = float(np.std(sharpes, ddof=1)) if len(sharpes) > 1 else (1.0 / (len(values) - 1)) ** 0.5
    scores = (values - values.mean()) / values.std()
    return probability_above(
        float(values.mean()) / deviation,
        lucky_sharpe(trials, spread),
        bars=len(values),
        skewness=float((scores**3).mean()),
        kurtosis=float((scores**4).mean()),
    )


def lucky_sharpe(trials: int, deviation: float) -> float:
    """Return the expected maximum of the Sharpe ratios of `trials` trials without skill, 0 for one trial.

    `deviation` is that of the Sharpe ratios over the trials. Raises ValueError for fewer than one trial.
    """
    if trials < 1:
        raise ValueError(f"trials: got {trials}, must be at least 1")
    if trials == 1:
        return 0.0
    largest, next_largest = NORMAL.inv_cdf(1 - 1 / trials), NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return deviation * ((1 - np.euler_gamma) * largest + np.euler_gamma * next_largest)


def probability_above(sharpe: float, threshold: float, *, bars: int, skewness: float, kurtosis: float) -> float:
    """Return the probability that the true Sharpe ratio is above the threshold (probabilistic Sharpe ratio).

    `skewness` and `kurtosis` are of the returns; a normal distribution has 0 and 3.
    """
    # The variance is at least (1 - skewness x sharpe / 2)^2, because kurtosis is at least 1 + skewness^2.
    variance = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    gap = (sharpe - threshold) * math.sqrt(bars - 1)
    return NORMAL.cdf(gap / math.sqrt(variance)) if variance > 0 else float(gap > 0)
