"""The context of the templates about what is live in a policy."""

from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from rl_training.models import Deployment, PolicyStore, Promotion, Proposal
from rl_training.roles import DEPLOY, PROPOSE
from rl_training.versions import live, proposals
from rl_training.versions.changes import rollback_target

DEPLOYMENTS_LISTED = 5


def live_context(policy: PolicyStore, user: Any) -> dict[str, Any]:
    """Return what is live, the last deployments, the waiting proposals, and what `user` may do about them.

    `newest` is the number of the newest version if it is not live, and `held_back` why the gate holds it back;
    `earlier` is what a rollback goes back to.
    """
    found = live.live_now(policy.pk)
    columns = policy.versions.order_by("-number").values_list("number", "held_back")
    number, held_back = columns.first() or (None, "")
    version = found.version if found else None
    is_live = version is not None and version.number == number
    return {
        "live": found,
        "sentence_of_live": sentence(found),
        "newest": None if is_live else number,
        "held_back": "" if is_live or policy.promotion != Promotion.VALIDATED else held_back.rstrip("."),
        "earlier": rollback_target(policy, version),
        "deployments": list(history(policy)[:DEPLOYMENTS_LISTED]),
        **proposed(policy, user),
    }


def proposed(policy: PolicyStore, user: Any) -> dict[str, Any]:
    """Return the waiting proposals, and whether `user` may propose and decide."""
    return {
        "proposals": list(Proposal.objects.waiting().filter(policy=policy).shown()),
        "may_change": user.has_perm(PROPOSE),
        "may_decide": user.has_perm(DEPLOY),
        "proposes": proposals.is_proposed(user),
    }


def history(policy: PolicyStore) -> QuerySet[Deployment]:
    """Select the policy's deployments, newest first, each with `until`, the time of the next deployment."""
    return live.shown().filter(policy=policy).annotate(until=F("following__at")).order_by("-at")


def sentence(found: Deployment | None) -> dict[str, Any] | None:
    """Return the parts of the sentence about what is live: the time, who decided it, the reason and the evidence."""
    if found is None:
        return None
    origin = found.origin
    evidence = {
        "comparison": origin.comparison,
        "validation": origin.validation,
        "arm_comparison": origin.arm_comparison,
    }
    return {"since": origin.at, "decided": live.decided(origin), "reason": origin.reason, **evidence}


def answer(policy: PolicyStore, time: datetime) -> str:
    """Return what was live at the time, as a sentence."""
    if time > timezone.now():
        return f"{time:%Y-%m-%d %H:%M} UTC is in the future."
    found = live.live_at(policy.pk, time)
    if found is None:
        return f"At {time:%Y-%m-%d %H:%M} UTC nothing was live: no version had been promoted yet."
    origin = found.origin
    what = f"version {found.version.number} was live" if found.version else "nothing was live"
    since = f"since {origin.at:%Y-%m-%d %H:%M:%S} UTC, {live.decided(origin)}: {origin.reason.rstrip('.')}."
    return f"At {time:%Y-%m-%d %H:%M} UTC {what}, {since}"
