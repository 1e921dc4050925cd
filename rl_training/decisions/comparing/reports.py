"""A comparison for users and programs: a sentence, and an estimate of its length; and the state of the guards."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_training.core.evaluation.betting import Bet, expected_bars
from rl_training.core.words import count_of
from rl_training.decisions.comparing.verdicts import payload
from rl_training.models import ArmComparison, Watch

# The number of newest bars that the estimate uses.
ESTIMATED_BARS = 10_000
Status = ArmComparison.Status


@dataclass(frozen=True)
class Estimate:
    """The result of the compared bars so far.

    mean  mean gain of B on A per bar, in log equity; None before the first bar
    bars  number of further bars until a verdict, if they are like these; None: B does not gain
    """

    mean: float | None
    bars: int | None


def estimate(comparison: ArmComparison) -> Estimate:
    newest = comparison.compared_bars.order_by("-opened_at").values_list("difference", flat=True)[:ESTIMATED_BARS]
    differences = np.array(list(newest))
    if not len(differences):
        return Estimate(None, None)
    mean = float(differences.mean())
    if comparison.status != Status.RUNNING:
        return Estimate(mean, None)
    bet, level = Bet(np.array(comparison.wealth)), comparison.trial.level
    more = expected_bars(bet, differences, level, comparison.floor, comparison.largest_loss)
    return Estimate(mean, math.ceil(more) if more < 1e9 else None)


def answer(comparison: ArmComparison, found: Estimate) -> str:
    """Return the result so far in sentences."""
    if comparison.status != Status.RUNNING:
        return f"{comparison.ending} {comparison.outcome}".strip()
    a, b = comparison.a.title, comparison.b.title
    if not comparison.bars:
        return (
            f"No bar has been compared yet: the first one opens after {comparison.requested_at:%Y-%m-%d %H:%M:%S} UTC."
        )
    so_far = f"After {count_of(comparison.bars, 'bar')} K is {comparison.evidence:.3g}; "
    so_far += f"from K = {comparison.threshold:.3g} on, {b} counts as better than {a}."
    if found.bars is None:
        return f"{so_far} At present {b} does not gain on {a}."
    return f"{so_far} If further bars are like these, a verdict takes {found.bars:,} more bars."


def as_dict(comparison: ArmComparison) -> dict[str, Any]:
    """Return the comparison with its estimate as JSON values."""
    found = estimate(comparison)
    return payload(comparison) | {
        "answer": answer(comparison, found),
        "mean_difference": found.mean,
        "expected_bars": found.bars,
    }


def guards(policy: int) -> str:
    """Return the state of the guards of the policy with this id, as text; empty if no account is watched."""
    watched = Watch.objects.filter(arm__policy=policy, arm__ended_at__isnull=True).select_related(
        "arm__policy", "arm__market"
    )
    one = watched.first()
    if one is None:
        return ""
    return (
        f"Guards: after {count_of(one.bars, 'bar')} the change detector is at {one.evidence:,.1f} of {one.limit:,.0f}, "
        f"and the drawdown at {100 * one.drawdown:.1f} % of {one.arm.policy.drawdown_limit} %. "
        f"Fallback: {one.arm.policy.fallback}."
    )
