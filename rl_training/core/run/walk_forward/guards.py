"""Guards: which versions of a validated recipe are held back. Pure functions of stored numbers. Needs no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_training.core.evaluation.mean_test import resampled_means
from rl_training.core.trading.accounting import FloatArray

LOWEST_QUANTILE = 0.01
DRAWDOWN_FACTOR, TURNOVER_FACTOR = 1.5, 2.0


@dataclass(frozen=True, slots=True)
class Conduct:
    """The behaviour of an account over some bars."""

    bars: int
    mean_log_return: float  # per bar
    max_drawdown: float  # 0 to 1
    turnover: float  # per bar, as a multiple of equity


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that the guards set for a version over a number of bars."""

    bars: int
    mean_log_return: float  # at least
    max_drawdown: float  # at most
    turnover: float  # per bar, at most


def limits_for(changes: FloatArray, folds: Sequence[Conduct], bars: int, *, seed: int = 0) -> Limits:
    """Return the limits for a version that was evaluated on `bars` held-out bars.

    changes  of log equity in each bar of the walk-forward's account, [traded bars]
    folds    the conduct of that account in each fold

    The mean log return may not be below the 1 % quantile of the means of `bars` bars that the stationary bootstrap
    draws from `changes`; drawdown may be 1.5 times and turnover per bar 2 times that of the worst fold.
    """
    means = resampled_means(changes, bars, seed=seed)
    return Limits(
        bars=bars,
        mean_log_return=float(np.quantile(means, LOWEST_QUANTILE)),
        max_drawdown=DRAWDOWN_FACTOR * max(fold.max_drawdown for fold in folds),
        turnover=TURNOVER_FACTOR * max(fold.turnover for fold in folds),
    )


def broken_guards(version: Conduct, limits: Limits) -> list[str]:
    """Return why a version is held back, in sentences without a full stop; empty if it may go live."""
    figures = {
        "mean log return per bar": version.mean_log_return,
        "maximum drawdown": version.max_drawdown,
        "turnover per bar": version.turnover,
    }
    if wrong := [name for name, value in figures.items() if not math.isfinite(value)]:
        return [f"{name} is {figures[name]}, not a finite number" for name in wrong]
    reasons = []
    if version.mean_log_return < limits.mean_log_return:
        reasons.append(
            f"mean log return of {version.mean_log_return * 1e4:.2f} bp per bar on {version.bars:,} held-out bars is "
            f"below {limits.mean_log_return * 1e4:.2f} bp, the 1 % quantile of the walk-forward"
        )
    if version.max_drawdown > limits.max_drawdown:
        reasons.append(
            f"maximum drawdown of {version.max_drawdown:.1%} is above {limits.max_drawdown:.1%}, 1.5 times that of the "
            "walk-forward's worst fold"
        )
    if version.turnover > limits.turnover:
        reasons.append(
            f"turnover of {version.turnover:.3g} per bar is above {limits.turnover:.3g}, 2 times that of the "
            "walk-forward's worst fold"
        )
    return reasons
