"""A run's life: the only code that changes the status of a training run.

    queued -> running -> succeeded | failed | cancelled
       ^         |
       +---------+  released (graceful stop), or reaped (worker lost) until MOST_LOST workers are

Every change is one conditional UPDATE whose row count says whether it happened. A worker's writes carry the attempt
that it claimed, so that a worker which lost its run changes nothing. Messages and events leave after the commit.
"""

import copy
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from rl_training.core.config import TrainingConfig
from rl_training.files import checkpoints
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun
from rl_training.models.policies import typed_columns
from rl_training.runs import task_messages, totals
from rl_training.streams import outbox
from rl_training.transactions import after_commit

log = structlog.get_logger(__name__)

# A run that ends its worker each time must come to an end. A worker that was told to stop is none that is lost.
MOST_LOST = 3
CANCELLED = "cancelled"

Status = TrainingRun.Status


class AlreadyActiveError(Exception):
    """The policy has a queued or running run: `run`."""

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(f"policy {run.policy.name} already has a {run.status} run, {run.run_id}")
        self.run = run


@dataclass(frozen=True)
class Outcome:
    """What a successful run leaves: columns of the run, and of the policy version that it made."""

    run: Mapping[str, Any]
    version: Mapping[str, Any]


def enqueue(
    policy: PolicyStore,
    trigger: TrainingRun.Trigger,
    *,
    scheduled_for: datetime | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    initial_version: PolicyVersion | None = None,
    from_scratch: bool = False,
    send_message: bool = True,
) -> TrainingRun:
    """Insert a queued run of `policy` with a snapshot of its config; tell a worker after the commit.

    It starts from `initial_version`, by default the newest. Without `seed` a random one is drawn and recorded.
    Raises `AlreadyActiveError`; pydantic's `ValidationError` when the config is invalid.
    """
    run = unsaved(policy, trigger, scheduled_for=scheduled_for, episodes=episodes, seed=seed)
    run.initial_version = initial_version
    with transaction.atomic():
        insert([run])
        if initial_version is None and not from_scratch:
            # Only now: the run that was active until now may have made one while this one waited to be stored.
            run.initial_version = policy.versions.order_by("-number").first()
            TrainingRun.objects.filter(pk=run.pk).update(initial_version=run.initial_version)
    if send_message:
        after_commit(lambda: task_messages.send([run]))
    return run


def unsaved(
    policy: PolicyStore,
    trigger: TrainingRun.Trigger,
    *,
    scheduled_for: datetime | None,
    episodes: int | None = None,
    seed: int | None = None,
) -> TrainingRun:
    """A run that is not stored yet, with a snapshot of the policy's config."""
    config = TrainingConfig(
        market=policy.market,
        environment=policy.environment,
        ppo=policy.ppo,
        episodes=policy.episodes_per_run if episodes is None else episodes,
        seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
    )
    return TrainingRun(
        policy=policy,
        trigger=trigger,
        scheduled_for=scheduled_for,
        episodes=config.episodes,
        config=config.model_dump(mode="json"),
    )


def insert(runs: Sequence[TrainingRun]) -> None:
    """Store queued runs, all or none; raises `AlreadyActiveError`. No worker is told yet."""
    for again in (True, False):
        try:
            with transaction.atomic():
                TrainingRun.objects.bulk_create(runs)
            return
        except IntegrityError:
            policies = [run.policy for run in runs]
            active = TrainingRun.objects.active().filter(policy__in=policies).select_related("policy").first()
            if active is not None:
                raise AlreadyActiveError(active) from None
            # The run that was in the way may have ended since.
            if not again:
                raise


def claim(run_id: str) -> TrainingRun | None:
    """queued -> running, as a new attempt of the caller's; None when the run is not queued (any more)."""
    now = timezone.now()
    with transaction.atomic():
        claimed = TrainingRun.objects.filter(run_id=run_id, status=Status.QUEUED).update(
            status=Status.RUNNING, attempt=F("attempt") + 1, heartbeat_at=Now()
        )
        if not claimed:
            return None
        related = TrainingRun.objects.select_related("policy", "initial_version")
        # The run has its own snapshot: a policy edited into an invalid state must not stop it.
        run = related.defer(*typed_columns("policy")).get(run_id=run_id)
        after_commit(lambda: _log_start(run))
        if run.started_at is None:
            run.started_at = now
            TrainingRun.objects.held_by(run).update(started_at=now)
            outbox.write(run, "started", {"run_id": run.run_id, "policy": run.policy.name, "episodes": run.episodes})
    return run


def _log_start(run: TrainingRun) -> None:
    what = "Starting scheduled run" if run.trigger == TrainingRun.Trigger.SCHEDULE else "Starting triggered run"
    log.info(
        what if run.attempt == 1 else "Starting run again",
        run_id=run.run_id,
        policy=run.policy.name,
        trigger=run.trigger,
        episodes=run.episodes,
        attempt=run.attempt,
    )


def heartbeat(run: TrainingRun, **progress: Any) -> bool:
    """Show that the run's owner lives, with what it got done; False when the run has another owner by now."""
    return bool(TrainingRun.objects.held_by(run).update(heartbeat_at=Now(), **progress))


def fail_overdue(run: TrainingRun, seconds: float) -> bool:
    """running -> failed where the present attempt, `seconds` long, has taken longer than the policy allows.

    What lies between attempts does not count: a run of before an outage of a day has not trained for a day.
    """
    limit = run.policy.run_limit_minutes
    if seconds <= 60 * limit:
        return False
    return fail(run, f"took longer than {limit} minutes, the policy's run_limit_minutes")


def cancel_requested(run: TrainingRun) -> bool:
    """Whether somebody asked that the run be cancelled."""
    return TrainingRun.objects.filter(pk=run.pk, cancel_requested_at__isnull=False).exists()


def succeed(run: TrainingRun, outcome: Outcome) -> PolicyVersion | None:
    """running -> succeeded, with the policy version it made; None, and nothing written, when the run was lost.

    None too where somebody asked until now that it be cancelled: then it is.
    """
    version = None
    with transaction.atomic():
        ended = _end(run, Status.SUCCEEDED, **outcome.run)
        if ended is not None and ended.status == Status.SUCCEEDED:
            newest = run.policy.versions.order_by("-number").values_list("number", flat=True).first()
            version = PolicyVersion.objects.create(
                policy=run.policy, run=ended, number=(newest or 0) + 1, **outcome.version
            )
    if ended is not None:
        _take_over(run, ended)
    return version


def fail(run: TrainingRun, error: str, traceback: str = "") -> bool:
    """running -> failed, or cancelled where that was asked; False, and nothing written, when the run was lost."""
    return _finish(run, Status.FAILED, error=_storable(error), traceback=_storable(traceback))


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL, and nothing stores half a character; an error may quote either from a file."""
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")


def end_cancelled(run: TrainingRun) -> bool:
    """running -> cancelled by the owner, or queued -> cancelled; False, and nothing written, when it is another's."""
    return _finish(run, Status.CANCELLED, error=CANCELLED)


def _finish(run: TrainingRun, status: TrainingRun.Status, **columns: Any) -> bool:
    with transaction.atomic():
        ended = _end(run, status, **columns)
    if ended is None:
        return False
    _take_over(run, ended)
    return True


def _take_over(run: TrainingRun, ended: TrainingRun) -> None:
    """Let the object be what the row is, now that it is committed: until then the write may have to be tried again."""
    vars(run).update(vars(ended))


def _end(run: TrainingRun, status: TrainingRun.Status, **columns: Any) -> TrainingRun | None:
    """The run as it is once the present transaction is committed; None when it is another's."""
    now = timezone.now()
    # A clock that was set back must not make a negative duration.
    duration = max(0.0, (now - (run.started_at or now)).total_seconds())
    columns |= {"status": status, "finished_at": now, "duration_seconds": duration}
    held = TrainingRun.objects.held_by(run)
    if status != Status.CANCELLED:
        held = held.filter(cancel_requested_at=None)
    if not held.update(**columns):
        cancelled = status != Status.CANCELLED and cancel_requested(run)
        return _end(run, Status.CANCELLED, error=CANCELLED) if cancelled else None
    ended = copy.copy(run)
    for name, value in columns.items():
        setattr(ended, name, value)
    totals.add(ended)
    succeeded = status == Status.SUCCEEDED
    if status != Status.CANCELLED:
        PolicyStore.objects.filter(pk=run.policy_id).update(
            total_runs=F("total_runs") + 1, succeeded_runs=F("succeeded_runs") + int(succeeded)
        )
        # A cancelled run keeps its last checkpoint.
        after_commit(lambda: checkpoints.remove(ended))
    after_commit(lambda: _log_end(ended))
    if run.started_at is None:
        return ended
    payload = {
        "run_id": run.run_id,
        "policy": run.policy.name,
        "success": succeeded,
        "episodes": run.episodes,
        "duration_seconds": duration,
        "avg_reward": ended.avg_reward if succeeded else None,
        "final_reward": ended.final_reward if succeeded else None,
    }
    outbox.write(ended, "completed", payload if succeeded else payload | {"error": ended.error})
    return ended


def _log_end(run: TrainingRun) -> None:
    details = {"run_id": run.run_id, "duration_seconds": round(run.duration_seconds or 0.0, 3)}
    if run.status == Status.SUCCEEDED:
        episode = f"{run.episodes_done}/{run.episodes}"
        log.info("Training completed", episode=episode, avg_reward=run.avg_reward, **details)
    elif run.status == Status.CANCELLED:
        log.warning("Training cancelled", **details)
    else:
        log.error("Training failed", error=run.error, **details)


def release(run: TrainingRun) -> bool:
    """running -> queued, by the owner, on a graceful stop; False, and nothing written, when the run was lost."""
    return _requeue(run, "stopped while running")


def lost_after() -> timedelta:
    """Return how long a run may be without a heartbeat before its worker counts as lost."""
    return timedelta(seconds=settings.RUN_LOST_AFTER_SECONDS)


def reap() -> int:
    """Take runs whose worker is lost back to queued, or end them once MOST_LOST workers are. Returns how many."""
    asked = time.monotonic()
    # An owner that still lives shows it again by the clock as it is.
    TrainingRun.objects.with_future_heartbeat().update(heartbeat_at=Now())
    lost = list(TrainingRun.objects.lost(lost_after()).select_related("policy").defer(*typed_columns("policy")))
    if time.monotonic() - asked > settings.OWNER_HEARTBEAT_SECONDS:
        # The database kept everybody waiting: the owners are heard first, and looked for the next time.
        return 0
    return sum(_reap(run) for run in lost)


def _reap(run: TrainingRun) -> bool:
    workers = run.workers_lost + 1
    with transaction.atomic():
        # One that has shown itself since it was looked for is none.
        if not TrainingRun.objects.lost(lost_after()).filter(pk=run.pk).select_for_update().values_list("pk"):
            return False
        if workers >= MOST_LOST:
            return fail(run, f"worker lost in {workers} attempts")
        return _requeue(run, "worker lost", workers_lost=workers)


def _requeue(run: TrainingRun, reason: str, **columns: Any) -> bool:
    if cancel_requested(run):
        return end_cancelled(run)
    columns |= {"status": Status.QUEUED, "heartbeat_at": None, "sent_at": None, "queued_at": timezone.now()}
    with transaction.atomic():
        requeued = TrainingRun.objects.held_by(run).update(**columns)
        if requeued:
            after_commit(lambda: task_messages.send([run]))
    if requeued:
        log.warning("Run queued again", run_id=run.run_id, reason=reason, attempt=run.attempt)
    return bool(requeued)


def cancel(run: TrainingRun) -> bool:
    """Take a run back: at once while it is queued; a worker ends it after its present iteration. False: it has ended.

    A run that was claimed once has announced its start, and announces its end like any other; one that never was is
    not heard of.
    """
    while run.status in TrainingRun.ACTIVE:
        if run.status == Status.QUEUED:
            if end_cancelled(run):
                return True
        elif TrainingRun.objects.held_by(run).update(cancel_requested_at=timezone.now()):
            return True
        # Claimed, released or ended since it was read.
        run.refresh_from_db(fields=["status", "attempt", "started_at"])
    return False
