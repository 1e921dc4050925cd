"""The verdict of a walk-forward on a recipe: pure functions of stored numbers, so that it can be computed again."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

ALPHA = 0.05
# The account that follows the folds, and the references that it is compared with.
WALK_FORWARD = "walk_forward"
FLAT, BUY_AND_HOLD, TRAINED_ONCE = "flat", "buy_and_hold", "trained_once"
SIGN_RULES = ("last_return_followed", "last_return_opposed", "last_20_bars_followed")
MUST_BEAT = (FLAT, BUY_AND_HOLD)
# The level at which the account of a validated recipe counts as behind flat, which ends the validation.
EXPIRY_LEVEL = 0.05
# The p-value of an account that is equal to its reference.
UNDECIDED = 0.5


class Outcome(StrEnum):
    """The outcome of a walk-forward for a recipe."""

    VALIDATED = "validated"
    REFUSED = "refused"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a trial with the numbers that it follows from.

    p_above       by reference: the p-value of "the account does not beat this reference"; see MeanTest
    p_below_flat  the p-value of "the account is not behind flat"
    level         the part of alpha that the trial may spend; see trial_level()
    bars          the number of traded bars
    further_bars  how many more traded bars would decide at this level and at the present estimate; None if decided, or
                  if no number would
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
        against = " and ".join(f"{p:.2g} against {name.replace('_', ' ')}" for name, p in self.p_above.items())
        needed = {1: "it", 2: "both"}.get(len(self.p_above), "all")
        found = f"Inconclusive: over {self.bars:,} bars p is {against}"
        found += f"; trial {self.trial} needs {needed} below {self.level:.2g}. At the present estimate "
        if self.further_bars is None:
            return f"{found}no number of bars would decide."
        decision = "validate" if max(self.p_above.values()) < UNDECIDED else "refuse"
        return f"{found}{self.further_bars:,} more traded bars would {decision} it at this level."


def trial_level(trial: int, alpha: float = ALPHA) -> float:
    """Return the part of alpha that the trial with this number, from 1, may spend: alpha x 6 / (pi^2 x trial^2).

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
    """Return how many more traded bars would validate or refuse the recipe, if means and deviations stay as they are.

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
