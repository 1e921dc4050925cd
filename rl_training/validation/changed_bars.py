"""Whether the bars that a recipe was validated on are still those of its market."""

import numpy as np

from rl_training.core.market.bars import MarketData
from rl_training.files import bars
from rl_training.models import Validation

# A correction of a few bars ends no validation, nor does an adjustment of all prices by one factor.
MOST_CHANGED = 0.01
# A log return that differs by less is rounded otherwise.
TOLERANCE = 1e-6


def changed_bars(validation: Validation, market: MarketData) -> str:
    """Return how the validation's bars differ from those of `market`, in words; empty: they do not, or are not stored.

    Compared are the close's log returns at the bars that the two have in common, from the market's first bar until the
    validation's last one, and the further columns that the recipe observes. Raises `OSError` when the storage does not
    answer.
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
