"""Comparisons of arms by betting, and the change detector, on simulated paths."""

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.results.figures import Figure
from rl_training.core.evaluation.betting import first_alarms, first_promotions
from rl_training.core.trading.accounting import FloatArray

YEAR = 8_760
DEVIATION = 0.0098
ALPHA = 0.05
GAIN, GAIN_ALPHA = 0.00083, 0.01
SHARPE = -5.0
TEN_YEARS = 10.0 * YEAR


def _normal(random: np.random.Generator, count: int) -> FloatArray:
    return random.normal(0.0, DEVIATION, (count, YEAR))


def _heavy(random: np.random.Generator, count: int) -> FloatArray:
    return random.standard_t(3, (count, YEAR)) * DEVIATION / 3**0.5


def _crashes(random: np.random.Generator, count: int) -> FloatArray:
    """Return paths of small gains and rare losses of 9 %, with mean 0."""
    loss, share = -0.09, 0.002
    gains = np.where(random.random((count, YEAR)) < share, loss, -loss * share / (1 - share))
    noise: FloatArray = gains + random.normal(0.0, 0.001, (count, YEAR))
    return noise


def _changing(random: np.random.Generator, count: int) -> FloatArray:
    """Return paths whose deviation changes slowly, from about a third of DEVIATION to about three times."""
    level = np.exp(np.sin(2 * np.pi * np.arange(YEAR) / 500.0 + random.uniform(0, 6, (count, 1))))
    moved: FloatArray = random.normal(0.0, DEVIATION, (count, YEAR)) * level
    return moved


NULLS: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "normal": _normal,
    "Student t3": _heavy,
    "rare crashes": _crashes,
    "changing deviation": _changing,
}


def measure(paths: int) -> Iterator[Figure]:
    """Measure the error rates of comparison and demotion on each null, and their speed."""
    for name, null in NULLS.items():
        found = first_promotions(null(np.random.default_rng(0), paths), ALPHA)
        what = f"comparison, {YEAR:,} bars of a {name} null, {paths:,} paths: promoted at alpha {ALPHA:g}"
        yield Figure(what, 100 * float((found > 0).mean()), "%", at_most=5)
    gains = np.random.default_rng(1).normal(GAIN, DEVIATION, (paths, YEAR))
    yield Figure(
        f"comparison, gain of {1e4 * GAIN:g} bp per bar at alpha {GAIN_ALPHA:g}, median",
        median(first_promotions(gains, GAIN_ALPHA)),
        "bars",
        at_most=1_800,
    )
    alarms = first_alarms(_normal(np.random.default_rng(2), paths), TEN_YEARS)
    yield Figure("demotion, null years: false alarms", 100 * float((alarms > 0).mean()), "%", at_most=3)
    losing = -np.random.default_rng(3).normal(SHARPE / YEAR**0.5 * DEVIATION, DEVIATION, (paths, 3 * YEAR))
    yield Figure(
        f"demotion, an arm at Sharpe {SHARPE:g} with hourly bars, median",
        median(first_alarms(losing, TEN_YEARS)),
        "bars",
        at_most=4_000,
    )


def median(bars: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> float:
    """Return the median; paths that never reach the limit count as infinite."""
    return float(np.median(np.where(bars < 0, np.inf, bars.astype(float))))
