"""Proposals: changes of what is live that wait for a user who may decide them.

Users without the permission to deploy propose. With PROMOTION_NEEDS_TWO every change by a user, a command or the gate
is proposed, and a user other than the one who proposed it approves it.
"""

from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from rl_training.models import Deployment, PolicyStore, Proposal
from rl_training.roles import DEPLOY, PROPOSE
from rl_training.versions import deployments
from rl_training.versions.changes import (
    Action,
    Actor,
    Author,
    Change,
    ChangeRefusedError,
    LiveChangedError,
    check_evidence,
    check_seen,
    target,
)

log = structlog.get_logger(__name__)

Status = Proposal.Status
WORDS = {
    Action.PROMOTE: "promote {}",
    Action.PIN: "pin {}",
    Action.UNPIN: "unpin {}",
    Action.ROLL_BACK: "roll back to {}",
    Action.GO_FLAT: "go {}",
}


class NotPermittedError(Exception):
    """The user may not do this; the message says which permission or which other user it takes."""


class AlreadyDecidedError(ChangeRefusedError):
    """The proposal is decided, withdrawn or superseded."""


class AlreadyProposedError(ChangeRefusedError):
    """The same change is proposed already: `proposal`."""

    def __init__(self, proposal: Proposal) -> None:
        super().__init__(f"Proposal {proposal.pk} asks for the same and waits for a decision.")
        self.proposal = proposal


def is_proposed(user: Any) -> bool:
    """Return whether a change by this user becomes a proposal."""
    return bool(settings.PROMOTION_NEEDS_TWO) or not user.has_perm(DEPLOY)


def request(policy: PolicyStore, change: Change, author: Author) -> Deployment | Proposal:
    """Change what is live, or propose it where the author may not decide alone.

    Raises `NotPermittedError` and `ChangeRefusedError`.
    """
    if author.actor == Actor.USER and not (author.user.has_perm(DEPLOY) or author.user.has_perm(PROPOSE)):
        raise NotPermittedError(f"This needs the permission {DEPLOY}, or {PROPOSE} to propose it.")
    if deployments.needs_second_user(author) or (author.actor == Actor.USER and is_proposed(author.user)):
        return propose(policy, change, author)
    return deployments.deploy(policy, change, author)


def propose(policy: PolicyStore, change: Change, author: Author) -> Proposal:
    """Store a proposal of the change. A newer one by the gate replaces the gate's earlier ones.

    Raises `NotPermittedError` and `ChangeRefusedError`.
    """
    if author.actor == Actor.USER and not author.user.has_perm(PROPOSE):
        raise NotPermittedError(f"This needs the permission {PROPOSE}.")
    reason = change.checked_reason()
    with transaction.atomic():
        locked = deployments.lock(policy)
        current = deployments.newest(locked)
        check_seen(change, current)
        version = target(locked, change, current)
        check_evidence(change, version)
        now = deployments.clock(locked, current)
        waiting = Proposal.objects.waiting().filter(policy=locked)
        if author.actor == Actor.GATE:
            waiting.filter(actor=Actor.GATE).update(status=Status.SUPERSEDED, decided_at=now)
        same = waiting.filter(action=change.action, version=version).first()
        if same is not None:
            raise AlreadyProposedError(same)
        proposal = Proposal.objects.create(
            policy=locked,
            action=change.action,
            version=version,
            reason=reason,
            comparison=change.comparison,
            validation=change.validation,
            arm_comparison=change.arm_comparison,
            actor=author.actor,
            proposer=author.user,
            proposer_name=author.name,
            proposed_at=now,
            previous=current,
        )
    log.info("Change proposed", policy=locked.name, proposal=proposal.pk, action=change.action, actor=author.actor)
    return proposal


def approve(proposal: Proposal, user: Any) -> Deployment | Proposal:
    """Approve the proposal and return the deployment that follows.

    No user stands behind a command, nor behind the gate where `promotion` is `newest` and the schedule made the run.
    With PROMOTION_NEEDS_TWO, the first user who approves such a proposal becomes its proposer, and the proposal is
    returned, waiting for a second user. Raises `NotPermittedError` and
    `ChangeRefusedError`.
    """
    _check_permission(user)
    with transaction.atomic():
        found = _locked(proposal)
        if settings.PROMOTION_NEEDS_TWO:
            if found.proposer_id == user.pk:
                raise NotPermittedError("You stand behind this proposal: another user has to approve it.")
            if found.validation is not None and found.validation.requested_by_id == user.pk:
                raise NotPermittedError("You requested the validation that is its evidence: another user approves it.")
            if found.proposer_id is None and found.validation is None and found.actor in (Actor.COMMAND, Actor.GATE):
                return _support(found, user)
        seen = found.previous_id or 0
        change = Change(
            Action(found.action),
            found.reason,
            seen=seen,
            comparison=found.comparison,
            validation=found.validation,
            arm_comparison=found.arm_comparison,
        )
        found.decided_by = user.get_username()
        author = Author(Actor(found.actor), found.proposer_name, found.proposer)
        try:
            deployment = deployments.deploy(found.policy, change, author, approval=found)
        except LiveChangedError:
            raise LiveChangedError("What is live has changed since this was proposed: propose it again.") from None
        found.status, found.decided_at, found.deployment = Status.APPROVED, deployment.at, deployment
        found.save()
    return deployment


def reject(proposal: Proposal, user: Any) -> Proposal:
    """End the proposal without a change. Raises `NotPermittedError` and `AlreadyDecidedError`."""
    _check_permission(user)
    return _end(proposal, user, Status.REJECTED)


def withdraw(proposal: Proposal, user: Any) -> Proposal:
    """End the user's own proposal. Raises `NotPermittedError` and `AlreadyDecidedError`."""
    if proposal.proposer_id != user.pk:
        raise NotPermittedError("Only the user who proposed it can withdraw it.")
    return _end(proposal, user, Status.WITHDRAWN)


def _check_permission(user: Any) -> None:
    if not user.has_perm(DEPLOY):
        raise NotPermittedError(f"This needs the permission {DEPLOY}.")


def _locked(proposal: Proposal) -> Proposal:
    """Return the waiting proposal as it is stored, and lock its policy. Raises `AlreadyDecidedError`.

    Proposals change under the lock of their policy only, so that a proposal is decided once.
    """
    deployments.lock(proposal.policy)
    found = Proposal.objects.select_related(
        "policy", "version", "proposer", "comparison", "validation", "arm_comparison"
    ).get(pk=proposal.pk)
    if found.status == Status.SUPERSEDED:
        raise AlreadyDecidedError("What is live has changed since this was proposed: propose it again.")
    if found.status != Status.WAITING:
        raise AlreadyDecidedError(f"Proposal {found.pk} is {found.status} already.")
    return found


def _support(proposal: Proposal, user: Any) -> Proposal:
    """Let the user stand behind the proposal of a command."""
    proposal.proposer, proposal.supported_by = user, user.get_username()
    proposal.save()
    log.info("Proposal supported", policy=proposal.policy.name, proposal=proposal.pk, user=user.get_username())
    return proposal


def _end(proposal: Proposal, user: Any, status: Proposal.Status) -> Proposal:
    with transaction.atomic():
        found = _locked(proposal)
        now = deployments.clock(found.policy, None)
        found.status, found.decided_by, found.decided_at = status, user.get_username(), now
        found.save()
    log.info("Proposal ended", policy=found.policy.name, proposal=found.pk, status=status, user=user.get_username())
    return found


def in_words(proposal: Proposal) -> str:
    """Return what is proposed, as in `promote version 12`."""
    target = f"version {proposal.version.number}" if proposal.version else "flat"
    return WORDS[Action(proposal.action)].format(target)
