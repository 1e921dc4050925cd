"""The scheduler of Celery beat: it reads the policies' rows, the only place where their intervals are stored."""

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

from rl_training.decisions.process import announcing
from rl_training.models import InvalidConfigError, PolicyStore, TrainingRun
from rl_training.models.slots import Skipped, SlotReason
from rl_training.presence import heartbeats
from rl_training.runs import lifecycle, reaping, task_messages
from rl_training.schedule import new_bars, slots
from rl_training.storage import housekeeping as rows
from rl_training.streams import relay, retention
from rl_training.validation import monitoring, steps
from rl_training.versions import comparisons, housekeeping

log = structlog.get_logger(__name__)

# An edit gets its timestamp before its transaction commits, from a clock that may differ a little.
EDITS_SEEN_WITHIN = timedelta(seconds=10)
# Enough policies to share the costs of a transaction, few enough that the transaction ends soon.
ENQUEUED_TOGETHER = 100
# A clock that goes back by more than this was set back; smaller steps are corrections.
CLOCK_SET_BACK = timedelta(minutes=1)


def owners_return_within() -> float:
    """Return the seconds within which every owner writes a heartbeat once the database is back: three heartbeats."""
    return 3 * settings.OWNER_HEARTBEAT_SECONDS


class PolicyStoreScheduler(Scheduler):
    """Enqueues runs of due policies, announces due bars, and completes work that other processes left unfinished.

    A tick makes two indexed queries when no policy is due or edited and no bar is due. Any number of beats may run: a
    beat holds the lock of a policy's row while it claims the policy's slot. A database error is logged and ends the
    tick; the next tick tries again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known: dict[int, datetime] = {}
        self._last_tick = timezone.now()
        self._housekeeping_at = 0.0
        self._relayed_to = 0
        self._database_back_at = time.monotonic()
        self._last_round = timezone.now()
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Do nothing: every tick reads the rows."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Enqueue due runs, announce due bars, do due housekeeping, and return the seconds until the next tick."""
        started = time.monotonic()
        redis_answers = True
        try:
            with task_messages.until_one_fails():
                self.run_due(timezone.now())
                announcing.announce_due(timezone.now())
                if started >= self._housekeeping_at:
                    try:
                        self.do_housekeeping(timezone.now())
                    finally:
                        self._housekeeping_at = time.monotonic() + settings.BEAT_HOUSEKEEPING_SECONDS
        except DatabaseError as error:
            self._database_back_at = time.monotonic()
            log.error("Database error, trying again", error=str(error))
            connection.close()
        except redis.RedisError as error:
            redis_answers = False
            log.error("Redis error, trying again", error=str(error))
        self._note_pause()
        # If Redis does not answer, a heartbeat would cost more seconds, in which slots may become due.
        if redis_answers:
            heartbeats.record("beat")
        return max(0.0, settings.BEAT_TICK_SECONDS - (time.monotonic() - started))

    def run_due(self, now: datetime) -> int:
        """Log edited policies and enqueue a run of each due policy with enough new bars. Return the number of runs."""
        if now < self._last_tick - CLOCK_SET_BACK:
            log.warning("The clock was set back", seconds=round((self._last_tick - now).total_seconds()))
            self._known.clear()
        self._last_tick = now
        due = []
        for policy in PolicyStore.objects.due_or_changed(now, self._edits_since(now)):
            self._note_edit(policy, now)
            if policy.enabled and policy.next_run_at <= now:
                due.append(policy)
        due = self._skip_for_bars(due, now)
        runs: list[TrainingRun] = []
        try:
            for first in range(0, len(due), ENQUEUED_TOGETHER):
                runs += self._enqueue(due[first : first + ENQUEUED_TOGETHER], now)
        finally:
            # Messages are sent last, because workers that start the first runs slow down the insertion of the others.
            task_messages.send(runs)
        return len(runs)

    def do_housekeeping(self, now: datetime) -> None:
        """Reap lost work, relay events, resend undelivered messages, keep streams, files and rows in order."""
        self._note_pause()
        may_reap = time.monotonic() - self._database_back_at >= owners_return_within()
        if may_reap:
            reaping.reap()
        written_before = now - timedelta(seconds=settings.EVENT_RELAY_AFTER_SECONDS)
        self._relayed_to = relay.relay_unpublished(written_before, after=self._relayed_to)
        task_messages.resend_undelivered(now)
        comparisons.maintain(now, may_reap=may_reap)
        steps.maintain(now, may_reap=may_reap)
        monitoring.maintain(now)
        retention.maintain(now)
        housekeeping.maintain(now)
        rows.maintain(now)

    def _note_pause(self) -> None:
        """Delay reaping after a long pause: while the database or this machine was down, no owner wrote a heartbeat."""
        now = timezone.now()
        if abs(now - self._last_round) > timedelta(seconds=owners_return_within()):
            self._database_back_at = time.monotonic()
        self._last_round = now

    def _edits_since(self, now: datetime) -> datetime:
        """Return the time from which edits are read: the beginning, after a start or after the clock was set back."""
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

    def _skip_for_bars(self, due: list[PolicyStore], now: datetime) -> list[PolicyStore]:
        """Skip the slots of policies with fewer new bars than their `min_new_bars`. Return the other policies."""
        skipped = new_bars.find_too_few(due, now)
        policies = [policy for policy in due if policy.pk in skipped]
        for first in range(0, len(policies), ENQUEUED_TOGETHER):
            slots.skip_due(policies[first : first + ENQUEUED_TOGETHER], now, skipped)
        for policy in policies:
            log.info(f"Slot skipped: {skipped[policy.pk].detail}", policy=policy.name)
        return [policy for policy in due if policy.pk not in skipped]

    def _enqueue(self, policies: list[PolicyStore], now: datetime) -> list[TrainingRun]:
        try:
            return slots.enqueue_due(policies, now)
        except (lifecycle.AlreadyActiveError, InvalidConfigError, IntegrityError) as error:
            if len(policies) > 1:
                # Each policy is tried alone, so that one that cannot be enqueued does not stop the others.
                return [run for policy in policies for run in self._enqueue([policy], now)]
            if not isinstance(error, lifecycle.AlreadyActiveError):
                invalid = isinstance(error, InvalidConfigError)
                reason = SlotReason.INVALID_SETTINGS if invalid else SlotReason.ALREADY_RAN
                slots.skip_due(policies, now, {policies[0].pk: Skipped(reason, str(error))})
                log.error("Slot skipped", policy=policies[0].name, error=str(error))
            return []
