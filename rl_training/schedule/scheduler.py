"""Celery beat reading PolicyStore directly: the interval stands in its row and nowhere else."""

import time
from datetime import datetime, timedelta
from typing import Any

import redis
import structlog
from celery.beat import Scheduler
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, connection
from django.utils import timezone

from rl_training.models import InvalidConfigError, PolicyStore, TrainingRun
from rl_training.presence import heartbeats
from rl_training.runs import lifecycle, reaping, task_messages
from rl_training.schedule import slots
from rl_training.streams import relay, retention

log = structlog.get_logger(__name__)

# An edit is stamped before its transaction commits, by a clock that may differ a little: look back this far.
EDITS_SEEN_WITHIN = timedelta(seconds=10)
# Many share a transaction's costs, and few wait for its end.
ENQUEUED_TOGETHER = 100
# A clock that goes back by more was set; by less, it was corrected.
CLOCK_SET_BACK = timedelta(minutes=1)


def owners_heard_after() -> float:
    """Return the seconds within which every owner writes a heartbeat once the database is back: three heartbeats."""
    return 3 * settings.OWNER_HEARTBEAT_SECONDS


class PolicyStoreScheduler(Scheduler):
    """Enqueues runs of due policies, and looks after what other processes left behind.

    A tick makes one indexed query when nothing is due or edited. Any number of beats may run: a slot is taken while
    its row is locked. A database error ends the tick, is logged, and the next tick tries again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known: dict[int, datetime] = {}
        self._last_tick = timezone.now()
        self._housekeeping_at = 0.0
        self._relayed_to = 0
        self._database_since = time.monotonic()
        self._came_round = timezone.now()
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """There is nothing to set up: every tick reads the rows."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do what is due now; returns the seconds to wait until the next tick."""
        started = time.monotonic()
        redis_answers = True
        try:
            with task_messages.until_one_fails():
                self.run_due(timezone.now())
                if started >= self._housekeeping_at:
                    try:
                        self.look_after(timezone.now())
                    finally:
                        self._housekeeping_at = time.monotonic() + settings.BEAT_HOUSEKEEPING_SECONDS
        except DatabaseError as error:
            self._database_since = time.monotonic()
            log.error("Database error, trying again", error=str(error))
            connection.close()
        except redis.RedisError as error:
            redis_answers = False
            log.error("Redis error, trying again", error=str(error))
        self._come_round()
        # One that stalls has cost seconds already, and slots come due.
        if redis_answers:
            heartbeats.record("beat")
        return max(0.0, settings.BEAT_TICK_SECONDS - (time.monotonic() - started))

    def run_due(self, now: datetime) -> int:
        """Log edited policies and enqueue a run of each due one. Returns the number enqueued."""
        if now < self._last_tick - CLOCK_SET_BACK:
            log.warning("The clock was set back", seconds=round((self._last_tick - now).total_seconds()))
            self._known.clear()
        self._last_tick = now
        due = []
        for policy in PolicyStore.objects.due_or_changed(now, self._look_back(now)):
            self._note_edit(policy, now)
            if policy.enabled and policy.next_run_at <= now:
                due.append(policy)
        runs: list[TrainingRun] = []
        try:
            for first in range(0, len(due), ENQUEUED_TOGETHER):
                runs += self._enqueue(due[first : first + ENQUEUED_TOGETHER], now)
        finally:
            # Last, since the workers that hear of the first runs would slow the storing of the others.
            task_messages.send(runs)
        return len(runs)

    def look_after(self, now: datetime) -> None:
        """Take back lost runs, tell workers again of unheard ones, relay events left over, keep streams complete."""
        self._come_round()
        if time.monotonic() - self._database_since >= owners_heard_after():
            reaping.reap()
        written_before = now - timedelta(seconds=settings.EVENT_RELAY_AFTER_SECONDS)
        self._relayed_to = relay.relay_unpublished(written_before, after=self._relayed_to)
        task_messages.resend_unheard(now)
        retention.look_after(now)

    def _come_round(self) -> None:
        """While the database, or this machine, was away nobody could show that he lives."""
        now = timezone.now()
        if abs(now - self._came_round) > timedelta(seconds=owners_heard_after()):
            self._database_since = time.monotonic()
        self._came_round = now

    def _look_back(self, now: datetime) -> datetime:
        """At the start, and after the clock was set back, every row is news; else only what was edited lately."""
        return now - EDITS_SEEN_WITHIN if self._known else datetime.min.replace(tzinfo=now.tzinfo)

    def _note_edit(self, policy: PolicyStore, now: datetime) -> None:
        if self._known.get(policy.pk) == policy.updated_at:
            return
        self._known[policy.pk] = policy.updated_at
        slots.bring_forward(policy, now)
        log.info(
            f"Config updated: enabled={policy.enabled}, interval={policy.interval_minutes}min, "
            f"episodes={policy.episodes_per_run}",
            policy=policy.name,
        )

    def _enqueue(self, policies: list[PolicyStore], now: datetime) -> list[TrainingRun]:
        try:
            return slots.enqueue_due(policies, now)
        except (lifecycle.AlreadyActiveError, InvalidConfigError, IntegrityError) as error:
            if len(policies) > 1:
                # The fault of one of them is found, and the others go on, when each is taken alone.
                return [run for policy in policies for run in self._enqueue([policy], now)]
            if not isinstance(error, lifecycle.AlreadyActiveError):
                slots.skip_due(policies[0], now, str(error))
                log.error("Slot skipped", policy=policies[0].name, error=str(error))
            return []
