"""Paired comparison of accounts on the same bars, by the stationary bootstrap."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rl_training.core.evaluation.block_length import mean_block_length
from rl_training.core.trading.accounting import FloatArray

RESAMPLES, FEWEST_RESAMPLES = 10_000, 200
# The most bars that one bootstrap draws in total, unless the fewest resamples need more.
_BOOTSTRAP_BARS = 20_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean log-equity change per bar of `account` minus that of `other`, two columns of the equities."""

    account: int
    other: int
    mean: float
    low: float  # bounds of the 95 % interval
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences of pairs of accounts. All pairs are computed from the same resamples of bars."""

    pairs: tuple[Difference, ...]
    block_length: int  # mean block length, in bars
    resamples: int


def paired_differences(
    equity: FloatArray,
    pairs: Sequence[tuple[int, int]],
    *,
    seed: int = 0,
    on_progress: Callable[[], None] = lambda: None,
) -> Differences:
    """Return the difference of each pair of accounts, with a 95 % percentile interval of the stationary bootstrap.

    equity       [bars + 1, accounts], above 0, of accounts that traded the same bars; 50 bars or more
    pairs        columns (account, other)
    on_progress  called for each resample

    The resampled unit is the bar with the changes of all accounts, so that their common changes cancel (Politis and
    Romano, 1994). Blocks have the longest of the mean lengths that are optimal for the pairs, rounded up (Politis and
    White, 2004; corrected by Patton, Politis and White, 2009). There are 10,000 resamples, and fewer, at least 200,
    beyond 2,000 bars, so that a bootstrap draws at most 20 million bars up to 100,000 bars.
    """
    # arch imports pandas and statsmodels, which takes seconds.
    from arch.bootstrap import StationaryBootstrap

    changes = np.diff(np.log(equity), axis=0)
    accounts, others = (np.array(columns, np.int64) for columns in zip(*pairs, strict=True))
    differences = changes[:, accounts] - changes[:, others]
    block_length = math.ceil(max(mean_block_length(column) for column in differences.T))
    resamples = int(np.clip(_BOOTSTRAP_BARS // len(changes), FEWEST_RESAMPLES, RESAMPLES))
    means = np.empty((resamples, changes.shape[1]))
    bootstrap = StationaryBootstrap(block_length, changes, seed=seed)
    for number, (resample, _) in enumerate(bootstrap.bootstrap(resamples)):
        means[number] = resample[0].mean(axis=0)
        on_progress()
    bounds = np.percentile(means[:, accounts] - means[:, others], [2.5, 97.5], axis=0)
    found = (
        Difference(account, other, float(mean), float(low), float(high))
        for (account, other), mean, low, high in zip(pairs, differences.mean(axis=0), *bounds, strict=True)
    )
    return Differences(tuple(found), block_length, resamples)
