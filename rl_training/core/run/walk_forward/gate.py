"""The gate: what a walk-forward says of a recipe, and which versions of a validated recipe are held back.

Pure functions of stored numbers, so that each verdict can be computed again. Needs no torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np

from rl_training.core.evaluation.mean_test import resampled_means
from rl_training.core.trading.accounting import FloatArray

ALPHA = 0.05
FLAT, BUY_AND_HOLD = "flat", "buy_and_hold"
MUST_BEAT = (FLAT, BUY_AND_HOLD)
# The level at which the account of a validated recipe counts as behind flat, which ends the validation.
EXPIRY_LEVEL = 0.05
# The p-value of an account that is level with its reference.
UNDECIDED = 0.5
LOWEST_QUANTILE = 0.01
DRAWDOWN_FACTOR, TURNOVER_FACTOR = 1.5, 2.0


class Outcome(StrEnum):
    """What a walk-forward says of a recipe."""

    VALIDATED = "validated"
    REFUSED = "refused"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a trial with the numbers that it follows from.

    p_above       by reference: the p-value of "the account does not beat this reference"; see MeanTest
    p_below_flat  the p-value of "the account is not behind flat"
    level         what the trial may spend; see trial_level()
    bars          that were traded
    further_bars  how many more would decide at the present estimate; None if decided, or if none would
    """

    outcome: Outcome
    trial: int
    alpha: float
    level: float
    p_above: dict[str, float]
    p_below_flat: float
    bars: int
    further_bars: int | None

    @property
    def sentence(self) -> str:
        """The verdict in a sentence, with its numbers."""
        shown = " and ".join(f"{name.replace('_', ' ')} (p = {p:.2g})" for name, p in self.p_above.items())
        level = f"{self.level:.2g}, the level of trial {self.trial}"
        match self.outcome:
            case Outcome.VALIDATED:
                return f"Validated: over {self.bars:,} bars it beat {shown}, each below {level}."
            case Outcome.REFUSED:
                return (
                    f"Refused: over {self.bars:,} bars it was behind flat (p = {self.p_below_flat:.2g}), below {level}."
                )
        undecided = f"Inconclusive: over {self.bars:,} bars against {shown}, not all below {level}"
        if self.further_bars is None:
            return f"{undecided}; at the present estimate no number of bars would decide."
        decision = "validate" if max(self.p_above.values()) < UNDECIDED else "refuse"
        return f"{undecided}; at the present estimate {self.further_bars:,} more bars would {decision} it."


def trial_level(trial: int, alpha: float = ALPHA) -> float:
    """Return what the trial with this number, from 1, may spend: alpha x 6 / (pi^2 x trial^2).

    The levels of all trials, however many, sum to alpha.
    """
    if trial < 1:
        raise ValueError(f"trial: got {trial}, must be at least 1")
    return alpha * 6 / (math.pi**2 * trial**2)


def judge(
    p_above: Mapping[str, float],
    p_below_flat: float,
    *,
    bars: int,
    trial: int,
    alpha: float = ALPHA,
    must_beat: Sequence[str] = MUST_BEAT,
) -> Verdict:
    """Return the verdict of a trial.

    Validated if the account beat every reference in `must_beat` at the trial's level; refused if it was behind flat at
    that level; otherwise inconclusive. Raises ValueError if `must_beat` is empty or a p-value of it is missing.
    """
    if not must_beat or (missing := set(must_beat) - p_above.keys()):
        raise ValueError(f"must_beat: {', '.join(sorted(missing)) if must_beat else 'nothing'} without a p-value")
    level, beaten = trial_level(trial, alpha), {name: p_above[name] for name in must_beat}
    outcome, further = Outcome.INCONCLUSIVE, None
    if all(p < level for p in beaten.values()):
        outcome = Outcome.VALIDATED
    elif p_below_flat < level:
        outcome = Outcome.REFUSED
    else:
        further = _further_bars(list(beaten.values()), p_below_flat, bars, level)
    return Verdict(outcome, trial, alpha, level, beaten, p_below_flat, bars, further)


def _further_bars(beaten: Sequence[float], p_below_flat: float, bars: int, level: float) -> int | None:
    """Return how many more bars would validate or else refuse, if means and deviations stay as they are.

    The normal quantile of a p-value then grows with the square root of the number of bars.
    """
    needed = NormalDist().inv_cdf(1 - level)
    for decisive in (beaten, [p_below_flat]):
        if max(decisive) < UNDECIDED:
            weakest = NormalDist().inv_cdf(1 - max(decisive))
            return math.ceil(bars * ((needed / weakest) ** 2 - 1))
    return None


def ends_validation(p_below_flat: float) -> bool:
    """Return whether the account of a validated recipe has fallen behind flat on the bars since its validation."""
    return p_below_flat < EXPIRY_LEVEL


@dataclass(frozen=True, slots=True)
class Conduct:
    """How an account behaved over some bars."""

    bars: int
    mean_log_return: float  # per bar
    max_drawdown: float  # 0 to 1
    turnover: float  # per bar, as a multiple of equity


@dataclass(frozen=True, slots=True)
class Limits:
    """What the guards allow a version over a number of bars."""

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
    """Return why a version is held back, in sentences without a full stop; none if it may go live."""
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
