"""Automatic promotion: what happens to a new version by the rule of its policy's `promotion`."""

import structlog
from django.db import transaction

from rl_training.models import PolicyVersion, Promotion
from rl_training.versions import deployments, proposals
from rl_training.versions.changes import Action, Actor, Author, Change

log = structlog.get_logger(__name__)


def promote_new_version(version: PolicyVersion) -> None:
    """Make the new version live, or propose it, if its policy's `promotion` is `newest` and nothing is pinned.

    A worker calls this in the transaction that ends the version's run, so that a version is never newest without being
    live. The user who triggered the run may not approve the proposal that follows from it.
    """
    with transaction.atomic():
        # The settings may have changed since the run started.
        policy = deployments.lock(version.policy)
        if policy.promotion != Promotion.NEWEST:
            return
        current = deployments.newest(policy)
        if current is not None and current.pinned:
            kept = f"version {current.version.number}" if current.version else "flat"
            log.info("New version is not promoted: a deployment is pinned", policy=policy.name, live=kept)
            return
        run = version.run
        reason = f"promotion is newest: run {run.run_id} made version {version.number}."
        change = Change(Action.PROMOTE, reason, version)
        proposals.request(policy, change, Author(Actor.GATE, user=run.triggered_by))
