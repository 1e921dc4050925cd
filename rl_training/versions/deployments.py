"""Deployments: the only code that changes what is live.

Each change locks the policy's row, so that changes of one policy follow each other; the database refuses two
deployments that follow the same one. The deployment, its event and the end of proposals that it makes obsolete are one
transaction.
"""

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from quantum_trader.timestamps import utc_text
from rl_training.models import Deployment, PolicyStore, PolicyVersion, Proposal
from rl_training.streams import outbox
from rl_training.transactions import after_commit
from rl_training.versions.changes import (
    PINNING,
    Actor,
    Author,
    Change,
    ChangeRefusedError,
    check_deployable,
    check_evidence,
    check_seen,
    target,
)

log = structlog.get_logger(__name__)

# With PROMOTION_NEEDS_TWO, these actors may not decide alone. A guard may, because it only protects.
SUPERVISED = {Actor.USER, Actor.COMMAND, Actor.GATE}


class SecondUserNeededError(ChangeRefusedError):
    """PROMOTION_NEEDS_TWO is set: the change has to be proposed, and a second user approves it."""


def needs_second_user(author: Author) -> bool:
    return bool(settings.PROMOTION_NEEDS_TWO) and author.actor in SUPERVISED


def deploy(policy: PolicyStore, change: Change, author: Author, *, approval: Proposal | None = None) -> Deployment:
    """Change what is live, and return the new deployment.

    `approval` is the proposal from which `change` was read, if a user approves it in the current transaction. Raises
    `ChangeRefusedError`.
    """
    if approval is None and needs_second_user(author):
        raise SecondUserNeededError("A second user has to approve this: propose it.")
    reason = change.checked_reason()
    with transaction.atomic():
        locked = lock(policy)
        current = newest(locked)
        check_seen(change, current)
        if approval is None:
            wanted = target(locked, change, current)
        else:
            wanted = approval.version
            if wanted is not None:
                check_deployable(locked, wanted)
        check_evidence(change, wanted)
        live = current.version_id if current else None
        deployment = Deployment.objects.create(
            policy=locked,
            action=change.action,
            version=wanted,
            pinned=change.action in PINNING,
            at=clock(locked, current),
            actor=author.actor,
            actor_name=author.name,
            approved_by=" and ".join(filter(None, [approval.supported_by, approval.decided_by])) if approval else "",
            reason=reason,
            comparison=change.comparison,
            validation=change.validation,
            arm_comparison=change.arm_comparison,
            previous=current,
            began=current.origin if current and live == (wanted.pk if wanted else None) else None,
        )
        obsolete = Proposal.objects.waiting().filter(policy=locked)
        if approval is not None:
            obsolete = obsolete.exclude(pk=approval.pk)
        obsolete.update(status=Proposal.Status.SUPERSEDED, decided_at=deployment.at)
        outbox.write_deployment(deployment, payload(deployment))
        after_commit(lambda: _log(deployment))
    return deployment


def lock(policy: PolicyStore) -> PolicyStore:
    """Return the policy as it is stored, and lock its row until the transaction ends.

    A transaction of SQLite locks the whole database anyway.
    """
    return PolicyStore.objects.select_for_update(no_key=True).get(pk=policy.pk)


def newest(policy: PolicyStore) -> Deployment | None:
    """Return the policy's newest deployment, with its version."""
    related = policy.deployments.select_related("version", "began").defer("version__evaluation")
    return related.order_by("-at").first()


def clock(policy: PolicyStore, current: Deployment | None) -> datetime:
    """Return the database's time, or the next microsecond after `current` if that is later.

    The database's clock may have been set back, and the clock of SQLite has a resolution of milliseconds.
    """
    now: datetime = PolicyStore.objects.annotate(now=Now()).values_list("now", flat=True).get(pk=policy.pk)
    return max(now, current.at + timedelta(microseconds=1)) if current else now


def payload(deployment: Deployment) -> dict[str, Any]:
    """Return the payload of the deployment's event."""
    version, previous = deployment.version, deployment.previous
    return {
        "deployment": deployment.pk,
        "policy": deployment.policy.name,
        "action": deployment.action,
        "version": number_of(version),
        "sha256": version.sha256 if version else None,
        "pinned": deployment.pinned,
        "previous_version": number_of(previous.version if previous else None),
        "at": utc_text(deployment.at),
        "actor": deployment.actor,
        "actor_name": deployment.actor_name,
        "approved_by": deployment.approved_by,
        "reason": deployment.reason,
        "comparison": deployment.comparison.comparison_id if deployment.comparison else None,
        "validation": deployment.validation.validation_id if deployment.validation else None,
        "arm_comparison": deployment.arm_comparison.comparison_id if deployment.arm_comparison else None,
    }


def number_of(version: PolicyVersion | None) -> int | None:
    return version.number if version else None


def _log(deployment: Deployment) -> None:
    log.info(
        "Deployment changed",
        policy=deployment.policy.name,
        action=deployment.action,
        version=number_of(deployment.version),
        actor=deployment.actor,
        actor_name=deployment.actor_name,
        reason=deployment.reason,
    )
