"""A one-sided test of the mean of a dependent series, by the studentised stationary bootstrap."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rl_training.core.compiled import compiled
from rl_training.core.evaluation.block_length import NO_DEVIATION, mean_block_length
from rl_training.core.trading.accounting import FloatArray

RESAMPLES = 10_000
# A p-value below 1 / resamples cannot be distinguished from 0. With this many resamples beyond a level, a p-value at
# the level is off by about a fifth of the level. More than MOST_RESAMPLES take minutes.
RESAMPLES_BELOW_LEVEL, MOST_RESAMPLES = 20, 2_000_000
FEWEST_BARS = 20
# A call of compiled code draws this many blocks at most, about a tenth of a second, and then reports progress.
_BLOCKS_PER_CALL = 4_000_000


@dataclass(frozen=True, slots=True)
class MeanTest:
    """The test of one series.

    mean            of the series
    standard_error  of the mean, under the dependence that blocks keep; 0 if too few values differ
    statistic       mean / standard_error; 0 if too few values differ
    p_above         p-value of "the mean is at most 0": small if the mean is above 0
    p_below         p-value of "the mean is at least 0": small if the mean is below 0
    block_length    mean, in bars
    """

    mean: float
    standard_error: float
    statistic: float
    p_above: float
    p_below: float
    bars: int
    block_length: float
    resamples: int


def resamples_for(level: float) -> int:
    """Return how many resamples decide whether a p-value is below `level`: 10,000, and more for levels below 0.002."""
    return int(np.clip(math.ceil(RESAMPLES_BELOW_LEVEL / level), RESAMPLES, MOST_RESAMPLES))


def mean_test(
    series: FloatArray,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    block_length: float | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> MeanTest:
    """Test whether the mean of a series, [bars], is above or below 0. The result depends only on the arguments.

    The series is resampled in blocks of geometrically distributed length with mean `block_length`, by default the
    optimal one. The first bar follows the last one (Politis and Romano, "The Stationary Bootstrap", 1994). With n bars,
    mean m and the resample's mean m*, each resample has the statistic

        t* = sqrt(n) (m* - m) / s*,    s*^2 = sum over its blocks of (sum of the block - its length x m*)^2 / n

    (the natural estimate of block bootstraps: Götze and Künsch, "Second-order correctness of the blockwise bootstrap
    for stationary observations", 1996). The series has t = sqrt(n) m / s, where s^2 is the variance of sqrt(n) m* that
    the bootstrap has, in closed form. p_above is (1 + number of t* >= t) / (1 + resamples), so it is never 0 (Davison
    and Hinkley, "Bootstrap Methods and their Application", 1997, section 4.2); p_below counts t* <= t.

    Both p-values are 1 if fewer than 20 values differ from the median, as for a constant series or an account that
    traded in a few bars: the series does not show how much its mean may vary, and two gains alone would have a p-value
    of 0.02. Raises ValueError for fewer than 20 bars and for values that are not finite.
    """
    values = np.ascontiguousarray(series, np.float64)
    check_series(values)
    mean, bars = float(values.mean()), len(values)
    if np.count_nonzero(np.abs(values - np.median(values)) > NO_DEVIATION) < FEWEST_BARS:
        return MeanTest(mean, 0.0, 0.0, 1.0, 1.0, bars, 1.0, resamples)
    length = mean_block_length(values) if block_length is None else block_length
    error = standard_error(values, length)
    statistic = mean / error if error > 0 else math.copysign(math.inf, mean)
    centred = values - mean
    # The sums of blocks come from cumulative sums, so that a block takes as long as a bar.
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([centred, centred]))])
    generator = np.random.default_rng(seed)
    per_call = max(1, int(_BLOCKS_PER_CALL * length / bars))
    above = below = 0
    for begin in range(0, resamples, per_call):
        statistics = np.empty(min(per_call, resamples - begin))
        _draw_statistics(sums, 1.0 / length, generator, statistics)
        above += int((statistics >= statistic).sum())
        below += int((statistics <= statistic).sum())
        on_progress()
    p_above, p_below = ((1 + count) / (1 + resamples) for count in (above, below))
    return MeanTest(mean, error, statistic, p_above, p_below, bars, length, resamples)


def check_series(values: FloatArray) -> None:
    """Raise ValueError unless `values` are one-dimensional, finite, and 20 or more."""
    if values.ndim != 1 or len(values) < FEWEST_BARS:
        raise ValueError(f"series of shape {values.shape}: at least {FEWEST_BARS} values of one series are needed")
    if not np.isfinite(values).all():
        raise ValueError(f"series: value {int((~np.isfinite(values)).argmax())} is not finite")


def standard_error(series: FloatArray, block_length: float) -> float:
    """Return the standard deviation of the mean of a stationary bootstrap resample of the series, in closed form.

    Two bars of a resample that are i apart are neighbours of the series with probability (1 - 1/block_length)^i, and
    otherwise independent, so the variance of the mean is a weighted sum of circular autocovariances (Politis and
    Romano, 1994, lemma 1).
    """
    bars = len(series)
    spectrum = np.abs(np.fft.rfft(series - series.mean())) ** 2
    covariances = np.fft.irfft(spectrum, bars) / bars
    lags = np.arange(bars)
    weights = (1.0 - lags / bars) * (1.0 - 1.0 / block_length) ** lags
    variance = float(covariances[0] + 2.0 * (weights[1:] @ covariances[1:])) / bars
    return math.sqrt(max(variance, 0.0))


@compiled
def _draw_statistics(sums: FloatArray, restart: float, generator: np.random.Generator, statistics: FloatArray) -> None:
    """Write the studentised mean, divided by its standard error, of one resample for each entry of `statistics`.

    `sums` are the cumulative sums, beginning with 0, of the centred series twice in a row. `restart` is the probability
    that a block ends after a bar.
    """
    bars = len(sums) // 2
    scale = 1.0 / math.log1p(-restart) if restart < 1.0 else 0.0
    for number in range(len(statistics)):
        filled, total, squares, crossed, lengths = 0, 0.0, 0.0, 0.0, 0.0
        while filled < bars:
            start = int(generator.random() * bars)
            length = 1
            if restart < 1.0:
                length += int(min(math.log(1.0 - generator.random()) * scale, bars))
            length = min(length, bars - filled)
            block = sums[start + length] - sums[start]
            filled += length
            total += block
            squares += block * block
            crossed += block * length
            lengths += float(length) * length
        mean = total / bars
        variance = (squares - 2.0 * mean * crossed + mean * mean * lengths) / bars
        # A resample of one block has no variance. Its statistic counts as infinite, which is cautious.
        statistics[number] = mean / math.sqrt(variance / bars) if variance > 0.0 else np.sign(mean) * np.inf


def resampled_means(
    series: FloatArray, bars: int, *, block_length: float | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> FloatArray:
    """Return the means of stationary bootstrap resamples of `bars` bars of a series, [resamples].

    Raises ValueError for a series that is not finite or has fewer than 20 bars.
    """
    values = np.ascontiguousarray(series, np.float64)
    check_series(values)
    length = mean_block_length(values) if block_length is None else block_length
    means = np.empty(resamples)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values]))])
    _draw_means(sums, bars, 1.0 / length, np.random.default_rng(seed), means)
    return means


@compiled
def _draw_means(
    sums: FloatArray, wanted: int, restart: float, generator: np.random.Generator, means: FloatArray
) -> None:
    """Write the mean of `wanted` resampled bars into each entry of `means`; see `_draw_statistics`."""
    bars = len(sums) // 2
    scale = 1.0 / math.log1p(-restart) if restart < 1.0 else 0.0
    for number in range(len(means)):
        filled, total = 0, 0.0
        while filled < wanted:
            start = int(generator.random() * bars)
            length = 1
            if restart < 1.0:
                length += int(min(math.log(1.0 - generator.random()) * scale, bars))
            # A block is never longer than the series.
            length = min(length, bars, wanted - filled)
            total += sums[start + length] - sums[start]
            filled += length
        means[number] = total / wanted
