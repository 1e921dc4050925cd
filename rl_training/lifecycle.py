"""A run's life: the only code that changes the status of a training run.

    queued -> running -> succeeded | failed | cancelled
       ^         |
       +---------+  released (graceful stop) or reaped (worker lost), at most MAX_ATTEMPTS attempts

Every change is one conditional UPDATE whose row count says whether it happened. A worker's writes carry the attempt
that it claimed, so that a worker which lost its run changes nothing. Messages and events leave after the commit.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Max
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from rl_training import events, workspace
from rl_training.core.config import TrainingConfig
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 3
HEARTBEAT_SECONDS = 5
# Six heartbeats missed: long enough for a stalled disk, short enough that a lost run is taken up within a minute.
LOST_AFTER = timedelta(seconds=30)
UNHEARD_AFTER = timedelta(seconds=30)
TASK = "rl_training.tasks.train_policy"

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
    config = TrainingConfig(
        market=policy.market,
        environment=policy.environment,
        ppo=policy.ppo,
        episodes=policy.episodes_per_run if episodes is None else episodes,
        seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
    )
    if initial_version is None and not from_scratch:
        initial_version = policy.versions.order_by("-number").first()
    try:
        with transaction.atomic():
            run = TrainingRun.objects.create(
                policy=policy,
                trigger=trigger,
                scheduled_for=scheduled_for,
                episodes=config.episodes,
                initial_version=initial_version,
                config=config.model_dump(mode="json"),
            )
            if send_message:
                transaction.on_commit(partial(send, run))
    except IntegrityError:
        active = TrainingRun.objects.active().filter(policy=policy).select_related("policy").first()
        if active is None:
            raise
        raise AlreadyActiveError(active) from None
    return run


def enqueue_due(policy: PolicyStore, now: datetime) -> TrainingRun | None:
    """Take the policy's due slot and enqueue its run, in one transaction; None when another beat took it.

    All slots missed until now coalesce into this one run; the next slot keeps the rhythm of the missed ones.
    """
    slot = policy.next_run_at
    interval = timedelta(minutes=policy.interval_minutes)
    next_slot = slot + ((now - slot) // interval + 1) * interval
    with transaction.atomic():
        taken = PolicyStore.objects.filter(pk=policy.pk, enabled=True, next_run_at=slot)
        if not taken.update(next_run_at=next_slot, schedule_error=""):
            return None
        return enqueue(PolicyStore.objects.get(pk=policy.pk), TrainingRun.Trigger.SCHEDULE, scheduled_for=slot)


def bring_forward(policy: PolicyStore, now: datetime) -> None:
    """Let no slot be further away than an interval: a shortened one counts from the policy's last slot.

    A clock that was set back strands no policy either.
    """
    interval = timedelta(minutes=policy.interval_minutes)
    if policy.next_run_at <= now + interval:
        return
    last = policy.runs.filter(scheduled_for__lte=now).aggregate(last=Max("scheduled_for"))["last"]
    slot = max(now, last + interval) if last else now
    PolicyStore.objects.filter(pk=policy.pk, next_run_at=policy.next_run_at).update(next_run_at=slot)
    policy.next_run_at = slot


def skip_due(policy: PolicyStore, now: datetime, reason: str) -> None:
    """Let the policy's due slot pass without a run, and record why."""
    interval = timedelta(minutes=policy.interval_minutes)
    PolicyStore.objects.filter(pk=policy.pk, next_run_at=policy.next_run_at).update(
        next_run_at=now + interval, schedule_error=reason
    )


def send(run: TrainingRun) -> None:
    """Tell a worker that the run waits. A message that cannot be sent now is sent by beat later."""
    try:
        # The run's id is the task's id: that is how the admin finds it in Flower.
        current_app.send_task(TASK, kwargs={"run_id": run.run_id}, task_id=run.run_id, queue=settings.TRAINING_QUEUE)
    except (BrokerError, OSError) as error:
        log.warning("Run stays queued until the broker is back", run_id=run.run_id, error=str(error))
        return
    TrainingRun.objects.filter(pk=run.pk).update(sent_at=timezone.now())


def resend_unheard(now: datetime) -> int:
    """Tell a worker again of runs whose message may be lost; returns how many.

    While messages wait in the queue the workers are merely busy, and more messages would not help.
    """
    unheard = TrainingRun.objects.unheard(now, UNHEARD_AFTER)
    if not unheard.exists() or events.client().llen(settings.TRAINING_QUEUE):
        return 0
    runs = list(unheard)
    for run in runs:
        send(run)
    return len(runs)


def claim(run_id: str) -> TrainingRun | None:
    """queued -> running, as a new attempt of the caller's; None when the run is not queued (any more)."""
    now = timezone.now()
    with transaction.atomic():
        claimed = TrainingRun.objects.filter(run_id=run_id, status=Status.QUEUED).update(
            status=Status.RUNNING, attempt=F("attempt") + 1, heartbeat_at=now
        )
        if not claimed:
            return None
        run = TrainingRun.objects.select_related("policy", "initial_version").defer(*_CONFIG_COLUMNS).get(run_id=run_id)
        transaction.on_commit(partial(_log_start, run))
        if run.started_at is None:
            run.started_at = now
            TrainingRun.objects.held_by(run).update(started_at=now)
            events.write(run, "started", {"run_id": run.run_id, "policy": run.policy.name, "episodes": run.episodes})
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
    return bool(TrainingRun.objects.held_by(run).update(heartbeat_at=timezone.now(), **progress))


def succeed(run: TrainingRun, outcome: Outcome) -> PolicyVersion | None:
    """running -> succeeded, with the policy version it made; None, and nothing written, when the run was lost."""
    with transaction.atomic():
        if not _finish(run, Status.SUCCEEDED, **outcome.run):
            return None
        newest = run.policy.versions.order_by("-number").values_list("number", flat=True).first()
        return PolicyVersion.objects.create(policy=run.policy, run=run, number=(newest or 0) + 1, **outcome.version)


def fail(run: TrainingRun, error: str, traceback: str = "") -> bool:
    """running -> failed; False, and nothing written, when the run was lost."""
    with transaction.atomic():
        return _finish(run, Status.FAILED, error=error, traceback=traceback)


def _finish(run: TrainingRun, status: TrainingRun.Status, **columns: Any) -> bool:
    now = timezone.now()
    # A clock that was set back must not make a negative duration.
    duration = max(0.0, (now - (run.started_at or now)).total_seconds())
    columns |= {"status": status, "finished_at": now, "duration_seconds": duration}
    if not TrainingRun.objects.held_by(run).update(**columns):
        return False
    for name, value in columns.items():
        setattr(run, name, value)
    succeeded = status == Status.SUCCEEDED
    PolicyStore.objects.filter(pk=run.policy_id).update(
        total_runs=F("total_runs") + 1, succeeded_runs=F("succeeded_runs") + int(succeeded)
    )
    transaction.on_commit(partial(_log_end, run))
    transaction.on_commit(partial(workspace.remove, run), robust=True)
    payload = {
        "run_id": run.run_id,
        "policy": run.policy.name,
        "success": succeeded,
        "episodes": run.episodes,
        "duration_seconds": duration,
        "avg_reward": run.avg_reward if succeeded else None,
        "final_reward": run.final_reward if succeeded else None,
    }
    events.write(run, "completed", payload if succeeded else payload | {"error": run.error})
    return True


def _log_end(run: TrainingRun) -> None:
    details = {"run_id": run.run_id, "duration_seconds": round(run.duration_seconds or 0.0, 3)}
    if run.status == Status.SUCCEEDED:
        episode = f"{run.episodes_done}/{run.episodes}"
        log.info("Training completed", episode=episode, avg_reward=run.avg_reward, **details)
    else:
        log.error("Training failed", error=run.error, **details)


def release(run: TrainingRun) -> None:
    """running -> queued, by the owner, on a graceful stop; failed when that was the last attempt."""
    _give_up(run, "stopped while running")


def reap(now: datetime) -> int:
    """Take runs whose worker is lost back to queued, or end them after the last attempt. Returns how many."""
    lost = TrainingRun.objects.lost(now, LOST_AFTER).select_related("policy").defer(*_CONFIG_COLUMNS)
    return sum(_give_up(run, "worker lost") for run in lost)


def _give_up(run: TrainingRun, reason: str) -> bool:
    if run.attempt >= MAX_ATTEMPTS:
        return fail(run, f"{reason} in the last of {run.attempt} attempts")
    with transaction.atomic():
        requeued = TrainingRun.objects.held_by(run).update(
            status=Status.QUEUED, heartbeat_at=None, sent_at=None, queued_at=timezone.now()
        )
        if requeued:
            transaction.on_commit(partial(send, run))
    if requeued:
        log.warning("Run queued again", run_id=run.run_id, reason=reason, attempt=run.attempt)
    return bool(requeued)


def cancel(run: TrainingRun) -> bool:
    """queued -> cancelled; False when a worker has it already. It never started: there is no event."""
    return bool(
        TrainingRun.objects.filter(pk=run.pk, status=Status.QUEUED).update(
            status=Status.CANCELLED, finished_at=timezone.now()
        )
    )


# Of the policy of a run: the run has its own snapshot, and a policy edited into an invalid state must not stop it.
_CONFIG_COLUMNS = ("policy__market", "policy__environment", "policy__ppo")
