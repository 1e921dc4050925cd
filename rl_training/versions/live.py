"""Queries and texts about what is live, or was live at a time."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

from rl_training.models import Deployment, PolicyStore
from rl_training.models.deployments import DeploymentQuerySet

# The names of actors of deployments without an actor's name.
NAMES = {
    Deployment.Actor.USER: "a user",
    Deployment.Actor.COMMAND: "a command",
    Deployment.Actor.GATE: "the gate",
    Deployment.Actor.GUARD: "a guard",
    Deployment.Actor.MIGRATION: "an upgrade",
}
VERBS = {
    Deployment.Action.PROMOTE: "promoted",
    Deployment.Action.PIN: "promoted and pinned",
    Deployment.Action.UNPIN: "unpinned",
    Deployment.Action.ROLL_BACK: "brought back",
    Deployment.Action.GO_FLAT: "taken flat",
}


# The time since which the target of a deployment has been live without a break.
SINCE = Coalesce("began__at", "at")


def shown() -> DeploymentQuerySet:
    """Select deployments with the related rows that pages and programs show, but without large columns."""
    related = Deployment.objects.select_related("policy", "version", "began", "previous__version", "comparison")
    related = related.select_related("validation", "arm_comparison")
    large = ("version__evaluation", "previous__version__evaluation", "comparison__result")
    return related.defer(*large, "validation__result", "validation__config", "arm_comparison__wealth")


def live_at(policy: int, time: datetime) -> Deployment | None:
    """Return the deployment that was in force in the policy with this id at `time`; None before the first deployment.

    The query reads one row of the index of `deployment_one_at_a_time`.
    """
    return shown().filter(policy=policy).live_at(time).first()


def live_now(policy: int) -> Deployment | None:
    """Return the newest deployment of the policy with this id."""
    return shown().filter(policy=policy).order_by("-at").first()


def live_of(policies: Collection[int] | None = None) -> dict[int, Deployment]:
    """Return the newest deployment by policy, for the policies with these ids, or for all, in one query.

    Policies without deployments are left out.
    """
    newest = Deployment.objects.filter(policy=OuterRef("pk")).order_by("-at").values("pk")[:1]
    wanted = PolicyStore.objects.order_by() if policies is None else PolicyStore.objects.filter(pk__in=policies)
    chosen = wanted.order_by().annotate(newest=Subquery(newest)).values("newest")
    return {deployment.policy_id: deployment for deployment in shown().filter(pk__in=chosen).order_by()}


def describe(deployment: Deployment | None) -> dict[str, Any]:
    """Return for programs what is live by this deployment, since when, by whom and why. None: nothing was ever live."""
    origin, version = (deployment.origin, deployment.version) if deployment else (None, None)
    return {
        "version": version.number if version else None,
        "sha256": version.sha256 if version else None,
        "artifact": version.artifact if version else None,
        "since": origin.at if origin else None,
        "pinned": deployment.pinned if deployment else False,
        "action": origin.action if origin else None,
        "actor": origin.actor if origin else None,
        "actor_name": origin.actor_name if origin else "",
        "approved_by": origin.approved_by if origin else "",
        "reason": origin.reason if origin else "",
        "deployment": deployment.pk if deployment else None,
    }


def sentence(deployment: Deployment | None) -> str:
    """Return what is live since when, by whom and why, as a sentence."""
    if deployment is None:
        return "Nothing is live: no version was ever promoted."
    began = deployment.origin
    what = f"Version {deployment.version.number} is live" if deployment.version else "Nothing is live"
    pinned = " It is pinned." if deployment.version and deployment.pinned else ""
    return f"{what} since {began.at:%Y-%m-%d %H:%M:%S} UTC, {decided(began)}: {began.reason.rstrip('.')}.{pinned}"


def decided(deployment: Deployment) -> str:
    """Return what was done and by whom, as in `promoted by anna, approved by ben`."""
    # If `promotion` is newest, the gate requires no evidence.
    if deployment.actor == Deployment.Actor.GATE and not (deployment.validation_id or deployment.arm_comparison_id):
        return f"{VERBS[Deployment.Action(deployment.action)]} without a verdict"
    approved = f", approved by {deployment.approved_by}" if deployment.approved_by else ""
    return (
        f"{VERBS[Deployment.Action(deployment.action)]} by {actor(deployment.actor, deployment.actor_name)}{approved}"
    )


def actor(kind: str, name: str) -> str:
    """Return the name of a deployment's or proposal's author, such as `anna`, `a command (root)` or `the gate`."""
    if not name:
        return NAMES[Deployment.Actor(kind)]
    return name if kind == Deployment.Actor.USER else f"{NAMES[Deployment.Actor(kind)]} ({name})"
