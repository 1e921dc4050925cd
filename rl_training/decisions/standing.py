"""The state of the paper accounts of live versions: position, since when, and the result of the day."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, OuterRef, Subquery

from rl_training.models import Arm, Decision


@dataclass(frozen=True)
class Standing:
    """The newest decision of a live version's account, and the account's return since midnight, UTC."""

    decision: Decision
    day_return: float

    @property
    def position(self) -> str:
        """The target position in words: long, short or flat, with its size unless the size is 1."""
        return position_in_words(self.decision.target_position)


def position_in_words(target: float) -> str:
    """Return a target position in words, as in `long`, `short 0.5` and `flat`."""
    if target == 0:
        return "flat"
    word = "long" if target > 0 else "short"
    return word if abs(target) == 1 else f"{word} {abs(target):g}"


def standings(policies: Collection[int], now: datetime) -> dict[int, Standing]:
    """Return the state of the open accounts of the live versions, by the policy's id, in three queries."""
    arms = Arm.objects.filter(policy__in=policies, kind=Arm.Kind.LIVE, ended_at__isnull=True)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    own = Decision.objects.filter(policy=OuterRef("policy"), arm=OuterRef("pk"), bar_opened_at__lt=midnight)
    before = own.order_by("-bar_opened_at").values("equity")[:1]
    equities = dict(arms.annotate(before=Subquery(before)).values_list("pk", "before"))
    newest = Decision.objects.select_related("version").defer("version__evaluation").newest_of(equities)
    return {
        decision.policy_id: Standing(decision, decision.equity / (equities[arm] or 1.0) - 1.0)
        for arm, decision in newest.items()
    }


def since(decision: Decision) -> datetime | None:
    """Return when the decision's account traded, or will trade, to its present target; None if it never traded."""
    own = Decision.objects.filter(policy=decision.policy_id, arm=decision.arm_id)
    changed = own.exclude(target_position=F("previous_target")).order_by("-bar_opened_at")
    return changed.values_list("bar_closed_at", flat=True).first()
