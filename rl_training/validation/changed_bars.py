"""Compares the bars that a recipe was validated on with the present bars of its market."""

import numpy as np

from rl_training.core.market.bars import MarketData
from rl_training.files import bars
from rl_training.models import Validation

# A correction of a few bars ends no validation, nor does an adjustment of all prices by one factor.
MOST_CHANGED = 0.01
# Smaller differences of a log return come from rounding.
TOLERANCE = 1e-6


def changed_bars(validation: Validation, market: MarketData) -> str:
    """Return how the validation's bars differ from `market`, in words; empty if they do not or are not stored.

    Compares the log returns of the close at the bars that both have, from the market's first bar to the validation's
    last bar, and the further columns that the recipe observes. Raises `OSError` when the storage does not answer.
    """
    try:
        validated = bars.fetch(validation.bars_digest)
    except (FileNotFoundError, bars.DamagedBarsError):
        return ""
    before = validated.timestamp[validated.timestamp >= market.timestamp[0]]
    common, first, second = np.intersect1d(validated.timestamp, market.timestamp, return_indices=True)
    if len(common) < 2:
        return "none of the bars that the recipe was validated on are there any more"
    differ = np.abs(np.diff(np.log(validated.close[first])) - np.diff(np.log(market.close[second]))) > TOLERANCE
    for name, values in validated.own.items():
        if name in market.own:
            tolerance = TOLERANCE * float(np.std(values))
            differ |= (np.abs(values[first] - market.own[name][second]) > tolerance)[1:]
    changed = int(differ.sum()) + len(before) - len(common)
    if changed <= MOST_CHANGED * len(before):
        return ""
    return f"{changed:,} of the {len(before):,} bars that the recipe was validated on have changed"
