"""Reaping: a run whose worker is lost is queued again, or fails after MAX_LOST_WORKERS lost workers."""

import time
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from rl_training.models import TrainingRun
from rl_training.runs import lifecycle

# A run that kills its worker every time must end. A graceful stop does not count as a lost worker.
MAX_LOST_WORKERS = 3


def lost_after() -> timedelta:
    """Return how long a run may be without a heartbeat before its worker counts as lost."""
    return timedelta(seconds=settings.RUN_LOST_AFTER_SECONDS)


def reap() -> int:
    """Queue runs with a lost worker again, or fail them at MAX_LOST_WORKERS. Returns the number of changed runs."""
    began = time.monotonic()
    # A heartbeat in the future was written before the database's clock was set back. A living owner replaces it within
    # one interval; a dead owner's would otherwise look fresh until that time has come.
    TrainingRun.objects.with_future_heartbeat().update(heartbeat_at=Now())
    lost = list(TrainingRun.objects.lost(lost_after()).select_related("policy"))
    if time.monotonic() - began > settings.OWNER_HEARTBEAT_SECONDS:
        # The database answered late, so the owners' heartbeats may be late too. The next call decides.
        return 0
    return sum(_reap(run) for run in lost)


def _reap(run: TrainingRun) -> bool:
    workers = run.workers_lost + 1
    with transaction.atomic():
        # The owner may have written a heartbeat since the runs were listed.
        if not TrainingRun.objects.lost(lost_after()).filter(pk=run.pk).select_for_update().values_list("pk"):
            return False
        if workers >= MAX_LOST_WORKERS:
            return lifecycle.fail(run, f"worker lost in {workers} attempts")
        return lifecycle.requeue(run, "worker lost", workers_lost=workers)
