"""Beginning and ending a comparison of two arms. Each comparison is a trial of the ledger, however it ends."""

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q

from rl_training.core.evaluation.betting import LARGEST_LOSS, new_bet
from rl_training.decisions.arms import is_of
from rl_training.decisions.challengers import ArmRefusedError, open_arm
from rl_training.decisions.markets import grows
from rl_training.models import Arm, ArmComparison, PolicyStore, Trial
from rl_training.validation import trials
from rl_training.versions.live import live_now

log = structlog.get_logger(__name__)
SMALLEST_LOSS = 0.001
LARGEST_FLOOR = 0.1


class AlreadyComparingError(ArmRefusedError):
    """A comparison of the same arms is running: `comparison`."""

    def __init__(self, comparison: ArmComparison) -> None:
        super().__init__(f"These arms are compared already: comparison {comparison}.")
        self.comparison = comparison


class BettingError(ArmRefusedError):
    """The number `field` is out of range."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True)
class Wanted:
    """A wanted comparison: the names of two arms, and the numbers that are fixed beforehand."""

    a: str
    b: str
    largest_loss: float = LARGEST_LOSS
    floor: float = 0.0

    def check(self) -> None:
        """Raise `ArmRefusedError` if the arms are the same or a number is out of range."""
        if self.a == self.b:
            raise ArmRefusedError("An arm cannot be compared with itself.")
        if not SMALLEST_LOSS <= self.largest_loss <= 1.0:
            raise BettingError("largest_loss", f"{self.largest_loss:g}; it must be {SMALLEST_LOSS:g} to 1.")
        if not (math.isfinite(self.floor) and abs(self.floor) <= LARGEST_FLOOR):
            raise BettingError("floor", f"{self.floor:g}; it must be {-LARGEST_FLOOR:g} to {LARGEST_FLOOR:g}.")


def begin(policy: PolicyStore, wanted: Wanted, *, by: str, now: datetime, user: Any = None) -> ArmComparison:
    """Begin a comparison, and open its arms unless they are open. Raises `ArmRefusedError`."""
    wanted.check()
    try:
        with transaction.atomic():
            (a, _), (b, _) = (open_arm(policy, name, by=by, now=now) for name in (wanted.a, wanted.b))
            running = ArmComparison.objects.running().filter(a=a, b=b).first()
            if running is not None:
                raise AlreadyComparingError(running)
            if a.pk == b.pk:
                raise ArmRefusedError("An arm cannot be compared with itself.")
            market = policy.market
            if not (grows(market) and is_of(a, policy) and is_of(b, policy)):
                raise ArmRefusedError(f"The open arms are not on the present market of {policy}.")
            comparison = ArmComparison.objects.create(
                policy=policy,
                a=a,
                b=b,
                trial=trials.begin(market, Trial.Kind.COMPARISON, recipe=recipe_of(b), policy=policy.name),
                largest_loss=wanted.largest_loss,
                floor=wanted.floor,
                requested_by=user,
                requested_at=now,
                wealth=new_bet().wealth.tolist(),
            )
    except IntegrityError:
        found = ArmComparison.objects.running().filter(policy=policy, a=a, b=b).first()
        if found is None:
            raise
        raise AlreadyComparingError(found) from None
    log.info("Comparison began", policy=policy.name, comparison_id=comparison.comparison_id, a=a.name, b=b.name, by=by)
    return comparison


def recipe_of(arm: Arm) -> str:
    """Return the digest of the arm's recipe; for a rule, the digest of the arm's name."""
    if arm.recipe:
        return arm.recipe
    version = arm.version
    if arm.kind == Arm.Kind.LIVE:
        live = live_now(arm.policy_id)
        version = live.version if live else None
    found = version.run.recipe if version else ""
    return found or hashlib.sha256(arm.name.encode()).hexdigest()


def cancel(comparison: ArmComparison, *, by: str, now: datetime) -> bool:
    """End the comparison without a verdict; return False if it has ended already. Its trial still counts."""
    return _end(ArmComparison.objects.filter(pk=comparison.pk), f"Ended by {by}.", now) == 1


def end_without_arms(now: datetime) -> int:
    """End the comparisons that have an ended arm, and return the number of these comparisons."""
    orphaned = ArmComparison.objects.running().filter(Q(a__ended_at__isnull=False) | Q(b__ended_at__isnull=False))
    ended = 0
    for comparison in orphaned.shown():
        arm = comparison.a if comparison.a.ended_at is not None else comparison.b
        why = f"The arm {arm.title} has ended. {arm.ending}"
        ended += _end(ArmComparison.objects.filter(pk=comparison.pk), why, now)
    return ended


def _end(comparisons: Any, why: str, now: datetime) -> int:
    ended: int = comparisons.running().update(status=ArmComparison.Status.ENDED, ended_at=now, ending=why)
    if ended:
        log.info("Comparison ended", ending=why)
    return ended
