"""Removal of the weights of old versions. Their rows stay.

The decision is a transaction that locks the policy's row, as a deployment does, and the versions' rows, as a comparison
does: an earlier promotion or comparison keeps the version, and a later one is refused. The files are removed after the
commit. `artifact` is set while the files may still exist, so after a killed process the next call removes the files.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import cast

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from quantum_trader.redis_clients import redis_client
from rl_training.files import artifacts
from rl_training.models import PolicyStore, PolicyVersion, Proposal, TrainingRun
from rl_training.versions.deployments import lock

log = structlog.get_logger(__name__)

# The key of the last policy whose versions were checked. Without it, the check begins with the first policy.
CHECKED = "quantum_trader:weights_checked"
# The number of policies that one call checks, and of versions of each policy that lose their weights in the call.
POLICIES, VERSIONS = 20, 100
# The number of versions whose files one call removes.
FILES = 200


def remove_old(now: datetime) -> int:
    """Remove the weights of versions that no rule keeps, and return their number.

    Each call checks POLICIES policies, from where the last call ended, and then begins anew. An `OSError` is logged.
    """
    first = int(cast(str, redis_client().get(CHECKED) or "0"))
    policies = list(PolicyStore.objects.filter(pk__gt=first).order_by("pk")[:POLICIES])
    removed = sum(_remove_of(policy, now) for policy in policies)
    redis_client().set(CHECKED, policies[-1].pk if len(policies) == POLICIES else 0)
    remove_files()
    return removed


def _remove_of(policy: PolicyStore, now: datetime) -> int:
    if not removable(policy, now):
        return 0
    with transaction.atomic():
        locked = lock(policy)
        found = removable(locked, now)
        # A comparison of versions of several policies locks only the versions' rows, not the policies' rows.
        list(PolicyVersion.objects.select_for_update().filter(pk__in=found).order_by("pk").values_list("pk"))
        found = sorted({*found} & {*removable(locked, now)})
        PolicyVersion.objects.filter(pk__in=found).update(weights_removed_at=Now())
    if found:
        log.info("Weights of old versions count as removed", policy=policy.name, number=len(found))
    return len(found)


def removable(policy: PolicyStore, now: datetime) -> list[int]:
    """Return the ids of the policy's oldest versions whose weights no rule keeps, VERSIONS at most.

    The rules keep the newest `settings.VERSIONS_KEPT` versions, the last version of each day (UTC) for
    `VERSIONS_KEPT_DAILY_DAYS` days, versions that are kept for good, versions that a waiting proposal names, and
    versions that an active run may read.
    """
    newest = policy.versions.order_by("-number").values_list("number", flat=True).first() or 0
    good = PolicyVersion.objects.kept_for_good().filter(pk=OuterRef("pk"))
    proposed = Proposal.objects.waiting().filter(version=OuterRef("pk"))
    old = PolicyVersion.objects.with_weights().filter(policy=policy, number__lte=newest - settings.VERSIONS_KEPT)
    old = old.exclude(pk__in=_needed_by_runs(policy)).filter(~Exists(good), ~Exists(proposed))
    rows = list(old.order_by("-number").values_list("pk", "created_at"))
    kept = _last_of_days(rows, now - timedelta(days=settings.VERSIONS_KEPT_DAILY_DAYS))
    return [pk for pk, _ in reversed(rows) if pk not in kept][:VERSIONS]


def _needed_by_runs(policy: PolicyStore) -> set[int]:
    """Return the ids of the versions that active runs start from, and of their parents, which are the fallback."""
    starts = (
        TrainingRun.objects.active()
        .filter(policy=policy)
        .values_list("initial_version", "initial_version__parent", "started_from")
    )
    return {pk for run in starts for pk in run if pk is not None}


def _last_of_days(versions: Iterable[tuple[int, datetime]], since: datetime) -> set[int]:
    """Return the id of the last version of each day from `since` on; `versions` are in descending order."""
    last: dict[date, int] = {}
    for pk, made in versions:
        if made >= since:
            last.setdefault(made.astimezone(UTC).date(), pk)
    return set(last.values())


def remove_files() -> int:
    """Remove the files of versions whose weights count as removed, and return the number of these versions."""
    removed = 0
    for version in PolicyVersion.objects.with_files_to_remove().only("artifact")[:FILES]:
        try:
            artifacts.remove(version.artifact)
        except OSError as error:
            log.error("Weights of an old version cannot be deleted", artifact=version.artifact, error=str(error))
            continue
        PolicyVersion.objects.filter(pk=version.pk).update(artifact="")
        removed += 1
    if removed:
        log.info("Deleted the weights of old versions", number=removed)
    return removed
