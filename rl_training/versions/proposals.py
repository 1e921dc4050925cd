"""Proposals: changes of what is live that wait for the decision of a permitted user.

Users without the permission to deploy can only propose changes. With PROMOTION_NEEDS_TWO, every change by a user, a
command or the gate becomes a proposal, and a user other than its proposer has to approve it.
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
    """The user may not do this; the message names the required permission or the other user."""


class AlreadyDecidedError(ChangeRefusedError):
    """The proposal does not wait any more: it was decided, withdrawn or superseded."""


class AlreadyProposedError(ChangeRefusedError):
    """The same change is proposed already: `proposal`."""

    def __init__(self, proposal: Proposal) -> None:
        super().__init__(f"Proposal {proposal.pk} is for the same change and waits for a decision.")
        self.proposal = proposal


def is_proposed(user: Any) -> bool:
    """Return whether a change by this user becomes a proposal."""
    return bool(settings.PROMOTION_NEEDS_TWO) or not user.has_perm(DEPLOY)


def request(policy: PolicyStore, change: Change, author: Author) -> Deployment | Proposal:
    """Change what is live, or propose the change if the author may not decide alone.

    Raises `NotPermittedError` and `ChangeRefusedError`.
    """
    if author.actor == Actor.USER and not (author.user.has_perm(DEPLOY) or author.user.has_perm(PROPOSE)):
        raise NotPermittedError(f"This needs the permission {DEPLOY}, or {PROPOSE} to propose it.")
    if deployments.needs_second_user(author) or (author.actor == Actor.USER and is_proposed(author.user)):
        return propose(policy, change, author)
    return deployments.deploy(policy, change, author)


def propose(policy: PolicyStore, change: Change, author: Author) -> Proposal:
    """Store a proposal of the change. A new proposal of the gate replaces the gate's earlier proposals.

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
    """Approve the proposal and return the resulting deployment.

    A proposal of a command has no user as its proposer, nor has a proposal of the gate if `promotion` is `newest` and
    the schedule made the run. With PROMOTION_NEEDS_TWO, the first user who approves such a proposal becomes its
    proposer, and the proposal is returned and waits for a second user. Raises `NotPermittedError` and
    `ChangeRefusedError`.
    """
    _check_permission(user)
    with transaction.atomic():
        found = _locked(proposal)
        if settings.PROMOTION_NEEDS_TWO:
            if found.proposer_id == user.pk:
                raise NotPermittedError("You are the proposer of this proposal: another user has to approve it.")
            if found.validation is not None and found.validation.requested_by_id == user.pk:
                raise NotPermittedError("You requested this proposal's validation: another user has to approve it.")
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
    """Lock the proposal's policy and return the waiting proposal as it is stored. Raises `AlreadyDecidedError`.

    Proposals change only under the lock of their policy, so that a proposal is decided once.
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
    """Make the user the proposer of a proposal that has none."""
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
    """Return the proposed change in words, such as `promote version 12`."""
    target = f"version {proposal.version.number}" if proposal.version else "flat"
    return WORDS[Action(proposal.action)].format(target)
