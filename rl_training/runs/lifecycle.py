"""The transitions of a run: the only code that changes the status of a training run.

    queued -> running -> succeeded | failed | cancelled
       ^         |
       +---------+  released (graceful stop), or reaped (worker lost), see `reaping.py`

Every transition is one conditional UPDATE; its row count says whether the transition happened. A worker's writes carry
the attempt that it claimed, so a worker that lost its run changes nothing. What follows from a transition is in
`consequences.py`.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from quantum_trader.text import storable
from rl_training.core.run.recipe import recipe_digest
from rl_training.core.words import count_of
from rl_training.files import checkpoints
from rl_training.models import PolicyStore, PolicyVersion, StartFrom, TrainingRun
from rl_training.runs import consequences
from rl_training.runs.consequences import Ending

log = structlog.get_logger(__name__)

CANCELLED = "cancelled"
# The start rule of a run whose initial version a user chose. No policy's recipe has this rule.
OTHER_VERSION = "version"

Status = TrainingRun.Status
# The columns of the rewards and losses of a run that ends early; None stands for those of its latest checkpoint.
Results = Mapping[str, Any] | None


class AlreadyActiveError(Exception):
    """The policy has a queued or running run: `run`."""

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(f"policy {run.policy.name} already has a {run.status} run, {run.run_id}")
        self.run = run


class WeightsRemovedError(Exception):
    """A run cannot start from the version, because the version's weights were removed."""


@dataclass(frozen=True)
class Outcome:
    """The result of a successful run: columns of the run, and of the policy version that it made."""

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
    triggered_by: Any = None,
    send_message: bool = True,
) -> TrainingRun:
    """Insert a queued run of `policy` with a snapshot of its config, and notify a worker after the commit.

    The run starts from `initial_version`, by default from what the policy's `start_from` names. Without `seed` a random
    one is drawn and stored. `triggered_by` is the user who triggered the run. Raises `AlreadyActiveError`,
    `WeightsRemovedError`, and `InvalidConfigError` when the config is invalid.
    """
    start = OTHER_VERSION if initial_version else StartFrom.SCRATCH if from_scratch else None
    run = unsaved(policy, trigger, scheduled_for=scheduled_for, episodes=episodes, seed=seed, start_from=start)
    run.initial_version, run.triggered_by = initial_version, triggered_by
    with transaction.atomic():
        insert([run])
        if initial_version is None and not from_scratch:
            # The version is read after the insert, because a run that was active until then may have made a new
            # version.
            run.initial_version_id = PolicyStore.objects.filter(pk=policy.pk).initial_versions()[policy.pk]
            TrainingRun.objects.filter(pk=run.pk).update(initial_version=run.initial_version_id)
        if initial_version is not None:
            _check_weights(policy, initial_version)
        if send_message:
            consequences.run_queued(run)
    return run


def _check_weights(policy: PolicyStore, version: PolicyVersion) -> None:
    """Raise `WeightsRemovedError` if the weights were removed. Retention locks the row too and then sees the run."""
    PolicyStore.objects.select_for_update(no_key=True).get(pk=policy.pk)
    if not PolicyVersion.objects.with_weights().filter(pk=version.pk).exists():
        raise WeightsRemovedError(f"The weights of version {version.number} of {policy.name} were removed.")


def unsaved(
    policy: PolicyStore,
    trigger: TrainingRun.Trigger,
    *,
    scheduled_for: datetime | None,
    episodes: int | None = None,
    seed: int | None = None,
    start_from: str | None = None,
) -> TrainingRun:
    """Return a run that is not stored yet, with a snapshot of the policy's config.

    `start_from` is by default the policy's. Raises `InvalidConfigError` when the config is stored invalid.
    """
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    config = policy.training_config(episodes=episodes, seed=seed)
    recipe = recipe_digest(config, start_from or policy.start_from)
    columns = {"episodes": config.episodes, "config": config.model_dump(mode="json"), "recipe": recipe}
    return TrainingRun(policy=policy, trigger=trigger, scheduled_for=scheduled_for, **columns)


def insert(runs: Sequence[TrainingRun]) -> None:
    """Store queued runs, all or none, without notifying a worker. Raises `AlreadyActiveError`."""
    for try_again in (True, False):
        try:
            with transaction.atomic():
                TrainingRun.objects.bulk_create(runs)
            return
        except IntegrityError:
            policies = [run.policy for run in runs]
            active = TrainingRun.objects.active().filter(policy__in=policies).select_related("policy").first()
            if active is not None:
                raise AlreadyActiveError(active) from None
            # The active run that caused the error may have ended since.
            if not try_again:
                raise


def claim(run_id: str) -> TrainingRun | None:
    """Claim a run: queued -> running, as a new attempt of the caller. Returns None when the run is not queued."""
    now = timezone.now()
    with transaction.atomic():
        claimed = TrainingRun.objects.filter(run_id=run_id, status=Status.QUEUED).update(
            status=Status.RUNNING, attempt=F("attempt") + 1, heartbeat_at=Now()
        )
        if not claimed:
            return None
        related = TrainingRun.objects.select_related("policy", "initial_version")
        # The run has its own snapshot of the config, so a policy with invalid settings must not stop the run.
        run = related.get(run_id=run_id)
        first_time = run.started_at is None
        if first_time:
            run.started_at = now
            TrainingRun.objects.held_by(run).update(started_at=now)
        consequences.run_started(run, first_time=first_time)
    return run


def heartbeat(run: TrainingRun, **progress: Any) -> bool:
    """Write the owner's heartbeat and these columns; return False when another attempt owns the run by now."""
    return bool(TrainingRun.objects.held_by(run).update(heartbeat_at=Now(), **progress))


def fail_overdue(run: TrainingRun, seconds: float, results: Callable[[], Results] = lambda: None) -> bool:
    """Fail a run (running -> failed) whose current attempt, `seconds` long, exceeds the policy's `run_limit_minutes`.

    The time between attempts does not count: a run that waited for a day during an outage has not trained for a day.
    `results` returns the `results` of fail().
    """
    limit = run.policy.run_limit_minutes
    if seconds <= 60 * limit:
        return False
    return fail(run, f"took longer than {count_of(limit, 'minute')}, the policy's run_limit_minutes", results=results())


def cancel_requested(run: TrainingRun) -> bool:
    """Return whether a user requested that the run be cancelled."""
    return TrainingRun.objects.filter(pk=run.pk, cancel_requested_at__isnull=False).exists()


def succeed(
    run: TrainingRun, outcome: Outcome, on_version: Callable[[PolicyVersion], object] = lambda version: None
) -> PolicyVersion | None:
    """End a run: running -> succeeded, with the policy version that the run made.

    `on_version` is called with the new version in the same transaction, for example to promote it.
    Returns None, and stores no version, when another attempt owns the run, or when a user requested its cancellation:
    then the run ends as cancelled.
    """
    with transaction.atomic():
        ending = _end(run, Status.SUCCEEDED, results=outcome.run, version=outcome.version)
        if ending is not None and ending.version is not None:
            on_version(ending.version)
    _set_columns(run, ending)
    return ending.version if ending else None


def fail(run: TrainingRun, error: str, traceback: str = "", results: Results = None) -> bool:
    """End a run: running -> failed, or cancelled if a user requested so; return False when another attempt owns it."""
    with transaction.atomic():
        ending = _end(run, Status.FAILED, error=storable(error), traceback=storable(traceback), results=results)
    return _set_columns(run, ending)


def end_cancelled(run: TrainingRun, results: Results = None) -> bool:
    """End a run: running or queued -> cancelled; return False when the run has another status or attempt by now."""
    with transaction.atomic():
        ending = _end(run, Status.CANCELLED, error=CANCELLED, results=results)
    return _set_columns(run, ending)


def _end(
    run: TrainingRun,
    status: TrainingRun.Status,
    *,
    error: str = "",
    traceback: str = "",
    results: Results = None,
    version: Mapping[str, Any] | None = None,
) -> Ending | None:
    """Write the end of the run, its version and its consequences; return None when another attempt owns the run.

    `run` itself stays as it is until the commit, because the write may fail and be tried again.
    """
    now = timezone.now()
    # A clock that was set back must not make a negative duration.
    duration = max(0.0, (now - (run.started_at or now)).total_seconds())
    results = checkpoints.results_so_far(run) if results is None else results
    ending = Ending(status, now, duration, error, traceback, results)
    held = TrainingRun.objects.held_by(run)
    if status != Status.CANCELLED:
        held = held.filter(cancel_requested_at=None)
    if not held.update(**ending.columns()):
        cancelled = status != Status.CANCELLED and cancel_requested(run)
        return _end(run, Status.CANCELLED, error=CANCELLED, results=results) if cancelled else None
    if version is not None:
        ending = replace(ending, version=_create_version(run, version))
    consequences.run_ended(run, ending)
    return ending


def _create_version(run: TrainingRun, columns: Mapping[str, Any]) -> PolicyVersion:
    newest = run.policy.versions.order_by("-number").values_list("number", flat=True).first()
    return PolicyVersion.objects.create(policy=run.policy, run=run, number=(newest or 0) + 1, **columns)


def _set_columns(run: TrainingRun, ending: Ending | None) -> bool:
    """Copy a committed ending to the object; return False when there is none."""
    if ending is None:
        return False
    for name, value in ending.columns().items():
        setattr(run, name, value)
    return True


def release(run: TrainingRun) -> bool:
    """Release a run on a graceful stop: running -> queued; return False when another attempt owns the run."""
    return requeue(run, "stopped while running")


def requeue(run: TrainingRun, reason: str, *, workers_lost: int | None = None) -> bool:
    """Requeue a run: running -> queued, or cancelled if a user requested so; return False if another owns it."""
    if cancel_requested(run):
        return end_cancelled(run)
    columns: dict[str, Any] = {
        "status": Status.QUEUED,
        "heartbeat_at": None,
        "sent_at": None,
        "queued_at": timezone.now(),
    }
    if workers_lost is not None:
        columns["workers_lost"] = workers_lost
    with transaction.atomic():
        requeued = TrainingRun.objects.held_by(run).update(**columns)
        if requeued:
            consequences.run_queued(run)
    if requeued:
        log.warning("Run queued again", run_id=run.run_id, reason=reason, attempt=run.attempt)
    return bool(requeued)


def cancel(run: TrainingRun) -> bool:
    """Cancel a run: a queued run at once, a running run after its current iteration. Return False if it has ended.

    A run that was claimed once has announced its start, so its end is announced too. A run that was never claimed has
    no events.
    """
    while run.status in TrainingRun.ACTIVE:
        if run.status == Status.QUEUED:
            if end_cancelled(run):
                return True
        elif TrainingRun.objects.held_by(run).update(cancel_requested_at=timezone.now()):
            return True
        # The run was claimed, released or ended since it was read.
        run.refresh_from_db(fields=["status", "attempt", "started_at"])
    return False
