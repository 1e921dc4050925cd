"""Removal of stored bars that nothing needs any more."""

from bisect import bisect_right
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import cast

import structlog
from django.conf import settings
from django.db.models import Q, QuerySet

from quantum_trader.redis_clients import redis_client
from rl_training.files import bars
from rl_training.models import PolicyVersion, TrainingRun, Validation

log = structlog.get_logger(__name__)

# The key of the last digest that was checked. Without it, the check begins with the first digest.
CHECKED = "quantum_trader:bars_checked"
# The number of digests that one call checks: more than 100 policies with growing markets store between two calls.
BATCH = 500
# Newer bars are kept: a run whose heartbeat failed when it stored its bars refers to them with one of its next
# heartbeats.
KEPT_FOR = timedelta(hours=1)


def remove_unneeded(now: datetime) -> int:
    """Remove stored bars that nothing needs, see `is_needed`.

    A run or a validation is recent for `settings.BARS_RETENTION_DAYS` after its end. Each call checks BATCH digests,
    from where the last call ended, and then begins anew. Returns the number of removed digests. An `OSError` is logged.
    """
    try:
        return _remove_unneeded(now)
    except OSError as error:
        log.error("Stored bars cannot be deleted", error=str(error))
        return 0


def _remove_unneeded(now: datetime) -> int:
    bars.remove_leftovers(now - KEPT_FOR)
    stored, removed = bars.digests(), []
    first = bisect_right(stored, cast(str, redis_client().get(CHECKED) or ""))
    batch = stored[first : first + BATCH]
    for digest in batch:
        # Another beat, or a user, may remove the file at the same time.
        with suppress(FileNotFoundError):
            if bars.stored_at(digest) < now - KEPT_FOR and not is_needed(digest, now):
                removed += [digest] if bars.remove_unless(digest, partial(is_needed, digest, now)) else []
    redis_client().set(CHECKED, batch[-1] if len(batch) == BATCH else "")
    if removed:
        log.info("Deleted bars that nothing needs", number=len(removed), digests=removed)
    return len(removed)


def is_needed(digest: str, now: datetime) -> bool:
    """Return whether a run or a validation needs bars of this digest.

    Bars are needed by runs and validations that are active or recent, by validations that are in force, and by runs
    whose version is kept for good. A recent run must also be among the newest `settings.BARS_KEPT` runs of its policy.
    """
    cutoff = now - timedelta(days=settings.BARS_RETENTION_DAYS)
    runs = TrainingRun.objects.filter(bars_digest=digest)
    if runs.filter(finished_at__isnull=True).exists() or _is_of_new_run(runs.filter(finished_at__gte=cutoff)):
        return True
    walks = Validation.objects.filter(bars_digest=digest)
    if walks.filter(Q(finished_at__isnull=True) | Q(finished_at__gte=cutoff) | Validation.IN_FORCE).exists():
        return True
    return PolicyVersion.objects.kept_for_good().filter(run__bars_digest=digest).exists()


def _is_of_new_run(runs: QuerySet[TrainingRun]) -> bool:
    """Return whether one of the runs is among the newest `settings.BARS_KEPT` ended runs of its policy."""
    newest = runs.order_by("-finished_at").values_list("policy", "finished_at")
    seen: set[int] = set()
    # For nearly all bars, the first query decides: few runs share the bars of growing markets, and other bars are in
    # use.
    while (found := newest.exclude(policy__in=seen).first()) is not None:
        policy, finished_at = found
        later = TrainingRun.objects.filter(policy=policy, finished_at__gt=finished_at).order_by("-finished_at")
        if not later[settings.BARS_KEPT - 1 : settings.BARS_KEPT].exists():
            return True
        seen.add(policy)
    return False
