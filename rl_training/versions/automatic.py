"""Automatic promotion: a new version goes live as its policy's `promotion` requires."""

import structlog
from django.db import transaction

from rl_training.models import ArmComparison, PolicyStore, PolicyVersion, Promotion, Validation
from rl_training.versions import deployments, proposals
from rl_training.versions.changes import Action, Actor, Author, Change, NothingChangesError

log = structlog.get_logger(__name__)


def promote_newest(version: PolicyVersion) -> None:
    """Make the new version live, or propose it, if its policy's `promotion` is `newest` and nothing is pinned.

    A worker calls this in the transaction that ends the version's run: others see the version and its deployment or
    proposal, or neither.
    """
    with transaction.atomic():
        # The settings may have changed since the run started.
        policy = deployments.lock(version.policy)
        if policy.promotion == Promotion.NEWEST:
            reason = f"promotion is newest: run {version.run.run_id} made version {version.number}."
            promote(policy, version, reason)


def promote(
    policy: PolicyStore,
    version: PolicyVersion,
    reason: str,
    validation: Validation | None = None,
    arm_comparison: ArmComparison | None = None,
) -> bool:
    """Make the version live, or propose it, and return True.

    Returns False if that would change nothing, or if a deployment of the locked policy is pinned.

    The user who triggered the version's run, or who began the comparison, may not approve the resulting proposal.
    """
    current = deployments.newest(policy)
    if current is not None and current.pinned:
        kept = f"version {current.version.number}" if current.version else "flat"
        log.info("New version is not promoted: a deployment is pinned", policy=policy.name, live=kept)
        return False
    change = Change(Action.PROMOTE, reason, version, validation=validation, arm_comparison=arm_comparison)
    user = arm_comparison.requested_by if arm_comparison else version.run.triggered_by
    try:
        proposals.request(policy, change, Author(Actor.GATE, user=user))
    except (NothingChangesError, proposals.AlreadyProposedError) as nothing:
        log.info("New version is not promoted", policy=policy.name, version=version.number, reason=str(nothing))
        return False
    return True
