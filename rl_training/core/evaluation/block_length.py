"""The mean block length of the stationary bootstrap of a mean."""

import math

import numpy as np

from rl_training.core.trading.accounting import FloatArray

# A smaller standard deviation is rounding: the series is constant.
NO_DEVIATION = 1e-12


def mean_block_length(series: FloatArray) -> float:
    """Return the optimal mean block length, in bars, for the mean of a series, [bars]; 1 for a constant series.

    Politis and White, "Automatic Block-Length Selection for the Dependent Bootstrap" (2004), corrected by Patton,
    Politis and White (2009).
    """
    # arch imports pandas and statsmodels, which takes seconds.
    from arch.bootstrap import optimal_block_length

    if series.std() < NO_DEVIATION:
        return 1.0
    # A series that is constant over its first or last bars has correlations of 0 / 0 there, which arch leaves out.
    with np.errstate(invalid="ignore", divide="ignore"):
        length = float(optimal_block_length(series)["stationary"].iloc[0])
    return max(1.0, length) if math.isfinite(length) else len(series) ** (1 / 3)
