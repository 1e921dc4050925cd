"""The verdict of a comparison, and its consequence, which depends on the policy's `promotion`."""

from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from quantum_trader.timestamps import utc_text
from rl_training.core.words import count_of
from rl_training.models import Arm, ArmComparison, Decision, PolicyVersion, Promotion
from rl_training.streams import outbox
from rl_training.transactions import after_commit
from rl_training.versions import automatic, deployments, proposals
from rl_training.versions.changes import Action, Actor, Author, Change, ChangeRefusedError

log = structlog.get_logger(__name__)

Status = ArmComparison.Status


def end(comparison: ArmComparison, now: datetime) -> None:
    """End a comparison that has a verdict, with the consequence. Called in the transaction that stores the last bar."""
    a, b = comparison.a.title, comparison.b.title
    if comparison.evidence == 0.0:
        comparison.status = Status.LOST
        comparison.ending = f"In one bar {b} lost more than {comparison.largest_loss:g} against {a}."
        comparison.outcome = "What is live stays."
    else:
        comparison.status = Status.BETTER
        comparison.ending = (
            f"K = {comparison.evidence:.3g} reached {comparison.threshold:.3g} after "
            f"{count_of(comparison.bars, 'bar')}: {b} is better than {a}."
        )
        comparison.outcome = _follow(comparison)
    comparison.ended_at = now
    outbox.write_comparison(comparison, payload(comparison))
    after_commit(lambda: _log(comparison))


def version_of_b(comparison: ArmComparison) -> PolicyVersion | None:
    """Return the version with which B decided at the last compared bar; None for a rule, and while B is flat."""
    if comparison.last_bar_at is None:
        return None
    own = Decision.objects.filter(
        policy=comparison.policy_id, arm=comparison.b_id, bar_opened_at=comparison.last_bar_at
    )
    found = own.select_related("version__policy").defer("version__evaluation").first()
    return found.version if found else None


def _follow(comparison: ArmComparison) -> str:
    """Promote B's version, propose it, or change nothing. Return the outcome as text."""
    if comparison.a.kind != Arm.Kind.LIVE:
        return "What is live stays: A is not the live version."
    version = version_of_b(comparison)
    if version is None:
        return "What is live stays: no version decides for B."
    if version.policy_id != comparison.policy_id:
        return f"What is live stays: version {version.number} is of {version.policy}, whose recipe the policy may take."
    policy = deployments.lock(comparison.policy)
    if policy.promotion == Promotion.NEWEST:
        return "What is live stays: the policy's promotion is newest."
    try:
        # The transaction undoes a change that is refused halfway.
        with transaction.atomic():
            return _promote(comparison, policy, version)
    except ChangeRefusedError as refused:
        return f"What is live stays: {refused}"


def _promote(comparison: ArmComparison, policy: Any, version: PolicyVersion) -> str:
    reason = f"comparison {comparison} on new bars: {comparison.ending}"
    if policy.promotion == Promotion.MANUAL:
        author = Author(Actor.GATE, user=comparison.requested_by)
        change = Change(Action.PROMOTE, reason, version, arm_comparison=comparison)
        proposal = proposals.propose(policy, change, author)
        return f"Proposal {proposal.pk} to promote version {version.number} waits for a user."
    if not automatic.promote(policy, version, reason, arm_comparison=comparison):
        return f"What is live stays: version {version.number} is live already, or a deployment is pinned."
    waits = deployments.newest(policy)
    if waits is not None and waits.version_id == version.pk:
        return f"Version {version.number} was promoted."
    return f"A proposal to promote version {version.number} waits for a second user."


def payload(comparison: ArmComparison) -> dict[str, Any]:
    """Return the comparison as JSON values: the content of its event."""
    return {
        "comparison_id": comparison.comparison_id,
        "policy": comparison.policy.name,
        "a": comparison.a.name,
        "b": comparison.b.name,
        "status": comparison.status,
        "trial": comparison.trial.number,
        "level": comparison.trial.level,
        "evidence": comparison.evidence,
        "threshold": comparison.threshold,
        "bars": comparison.bars,
        "capped": comparison.capped,
        "largest_loss": comparison.largest_loss,
        "floor": comparison.floor,
        "requested_at": utc_text(comparison.requested_at),
        "last_bar_at": utc_text(comparison.last_bar_at) if comparison.last_bar_at else None,
        "ended_at": utc_text(comparison.ended_at) if comparison.ended_at else None,
        "ending": comparison.ending,
        "outcome": comparison.outcome,
    }


def _log(comparison: ArmComparison) -> None:
    log.info(
        "Comparison ended",
        policy=comparison.policy.name,
        comparison_id=comparison.comparison_id,
        status=comparison.status,
        ending=comparison.ending,
        outcome=comparison.outcome,
    )
