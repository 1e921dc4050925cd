"""The probability of backtest overfitting, by combinatorially symmetric cross-validation (CSCV).

Bailey, Borwein, López de Prado and Zhu, "The Probability of Backtest Overfitting" (2015).
"""

from itertools import combinations

import numpy as np
import numpy.typing as npt

from rl_training.core.evaluation.block_length import NO_DEVIATION
from rl_training.core.trading.accounting import FloatArray

# With fewer recipes, the choice of the best recipe means little.
FEWEST_RECIPES = 8
PARTS = 16


def overfitting_probability(returns: FloatArray, parts: int = PARTS) -> float:
    """Return how often the recipe that was best on half the bars was below the median on the other half, 0 to 1.

    returns  simple returns of the recipes on the same bars, [bars, recipes]; 2 recipes or more
    parts    even number of consecutive parts of equal length, into which the bars are divided; the first bars that are
             left over are not used

    Each choice of half the parts selects the recipe of the highest Sharpe ratio there. Its rank r on the other parts,
    from 1, the worst, to N, gives the logit log(w / (1 - w)) with w = r / (N + 1); equal Sharpe ratios share their mean
    rank. The result is the share of choices with a logit of at most 0. The Sharpe ratio of constant returns is 0.

    Raises ValueError if there are fewer than two recipes, fewer than two bars in a part, an odd number of parts or a
    return that is not finite.
    """
    values = np.asarray(returns, np.float64)
    if values.ndim != 2 or values.shape[1] < 2 or parts < 2 or parts % 2 or len(values) < 2 * parts:
        raise ValueError(
            f"returns of shape {values.shape} in {parts} parts: at least 2 recipes, an even number of parts and 2 bars "
            "in each part are needed"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"returns: bar {int((~np.isfinite(values)).any(axis=1).argmax())} has a return that is not finite"
        )
    length = len(values) // parts
    blocks = values[len(values) - length * parts :].reshape(parts, length, -1)
    chosen = np.zeros((len(list(combinations(range(parts), parts // 2))), parts), np.bool_)
    for row, half in zip(chosen, combinations(range(parts), parts // 2), strict=True):
        row[list(half)] = True
    best = _sharpes(blocks, chosen).argmax(axis=1)
    later = _sharpes(blocks, ~chosen)
    own = later[np.arange(len(best)), best][:, None]
    rank = (later < own).sum(axis=1) + ((later == own).sum(axis=1) + 1) / 2
    # The logit is at most 0 where w is at most 1/2.
    return float((rank <= (values.shape[1] + 1) / 2).mean())


def _sharpes(blocks: FloatArray, chosen: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the Sharpe ratios, [choices, recipes], over the chosen parts of `blocks`, [parts, bars, recipes]."""
    weights = chosen.astype(np.float64)
    count = weights.sum(axis=1, keepdims=True) * blocks.shape[1]
    mean = weights @ blocks.sum(axis=1) / count
    square = weights @ (blocks**2).sum(axis=1) / count
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    # Rounding leaves a deviation of about 1e-8 of the mean to constant returns.
    varies = deviation > np.maximum(NO_DEVIATION, 1e-7 * np.abs(mean))
    sharpes: FloatArray = np.divide(mean, deviation, out=np.zeros_like(mean), where=varies)
    return sharpes
