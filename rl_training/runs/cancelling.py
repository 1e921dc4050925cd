"""Texts that say how a run ends after its cancellation was requested."""

import math
from datetime import timedelta
from typing import Any

from django.conf import settings

from rl_training.models import TrainingRun


def how_it_ends(run: TrainingRun) -> str:
    """Return how the run ends after `lifecycle.cancel()`, as the rest of a sentence whose subject is the run."""
    if run.status == TrainingRun.Status.CANCELLED:
        return "is cancelled"
    found: Any = TrainingRun.objects.with_heartbeat_age().only("pk").get(pk=run.pk)
    return how_it_ends_at(found.heartbeat_age)


def how_it_ends_at(heartbeat_age: timedelta | None) -> str:
    """Return how a running run ends when a user cancels it, given the time since its last heartbeat.

    Its worker ends it after the current iteration. A worker that misses two heartbeats is probably dead: then beat ends
    the run, once the worker counts as lost.
    """
    silent = heartbeat_age.total_seconds() if heartbeat_age else 0.0
    if silent <= 2 * settings.OWNER_HEARTBEAT_SECONDS:
        return "ends after its present iteration"
    left = settings.RUN_LOST_AFTER_SECONDS + settings.BEAT_HOUSEKEEPING_SECONDS - silent
    when = f"within {math.ceil(left)} s" if left > 0 else "at beat's next housekeeping"
    return f"ends when its worker counts as lost, {when}: no heartbeat for {silent:.0f} s"
