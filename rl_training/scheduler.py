"""Celery beat reading PolicyStore directly: the interval stands in its row and nowhere else."""

import time
from datetime import datetime, timedelta
from typing import Any

import pydantic
import redis
import structlog
from celery.beat import Scheduler
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from rl_training import events, lifecycle
from rl_training.models import PolicyStore

log = structlog.get_logger(__name__)

# An edit shows in the log within 2 s: one tick to see it, one to spare.
TICK_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 5.0
# An edit is stamped before its transaction commits, by a clock that may differ a little: look back this far.
EDITS_SEEN_WITHIN = timedelta(seconds=10)
# A writer relays its events at once; what is still there after this is left over.
LEFT_OVER_AFTER = timedelta(seconds=3)


class PolicyStoreScheduler(Scheduler):
    """Enqueues runs of due policies, and looks after what other processes left behind.

    A tick makes one indexed query when nothing is due or edited. Any number of beats may run: each slot is taken by a
    conditional UPDATE. A database error ends the tick, is logged, and the next tick tries again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known: dict[int, datetime] = {}
        self._housekeeping_at = 0.0
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """There is nothing to set up: every tick reads the rows."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do what is due now; returns the seconds to wait until the next tick."""
        started = time.monotonic()
        try:
            self.run_due(timezone.now())
            if started >= self._housekeeping_at:
                self._housekeeping_at = started + HOUSEKEEPING_SECONDS
                self.look_after(timezone.now())
        except DatabaseError as error:
            log.error("Database error, trying again", error=str(error))
            connection.close()
        except redis.RedisError as error:
            log.error("Redis error, trying again", error=str(error))
        return max(0.0, TICK_SECONDS - (time.monotonic() - started))

    def run_due(self, now: datetime) -> int:
        """Log edited policies and enqueue a run of each due one. Returns the number enqueued."""
        enqueued = 0
        for policy in PolicyStore.objects.due_or_changed(now, self._look_back(now)):
            self._note_edit(policy, now)
            if policy.enabled and policy.next_run_at <= now:
                enqueued += self._enqueue(policy, now)
        return enqueued

    def look_after(self, now: datetime) -> None:
        """Take back lost runs, tell workers again of unheard ones, relay events left over."""
        lifecycle.reap(now)
        events.relay_unpublished(before=now - LEFT_OVER_AFTER)
        lifecycle.resend_unheard(now)

    def _look_back(self, now: datetime) -> datetime:
        """At the start every row is news; later, only what was edited lately."""
        return now - EDITS_SEEN_WITHIN if self._known else datetime.min.replace(tzinfo=now.tzinfo)

    def _note_edit(self, policy: PolicyStore, now: datetime) -> None:
        if self._known.get(policy.pk) == policy.updated_at:
            return
        self._known[policy.pk] = policy.updated_at
        lifecycle.bring_forward(policy, now)
        log.info(
            f"Config updated: enabled={policy.enabled}, interval={policy.interval_minutes}min, "
            f"episodes={policy.episodes_per_run}",
            policy=policy.name,
        )

    def _enqueue(self, policy: PolicyStore, now: datetime) -> int:
        try:
            with transaction.atomic():
                run = lifecycle.enqueue_due(policy, now)
        except lifecycle.AlreadyActiveError:
            return 0
        except (pydantic.ValidationError, ValidationError, IntegrityError) as error:
            # This policy's own fault: it is reported and skips the slot, and the others go on.
            lifecycle.skip_due(policy, now, str(error))
            log.error("Slot skipped", policy=policy.name, error=str(error))
            return 0
        return int(run is not None)
