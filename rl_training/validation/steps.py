"""The life of a validation and of its steps: the only code that changes their status.

    validation   queued -> running -> succeeded | failed | cancelled
    its steps    prepare -> folds -> judge, each queued -> running -> succeeded, see `runs/work_lifecycle.py`

The end of a step and what follows from it, further steps or the end of the validation, are one transaction. It locks
the validation's row first, so that the ends of two steps follow each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from quantum_trader.text import storable
from quantum_trader.timestamps import utc_text
from rl_training.core import fault_points
from rl_training.core.market.bars import MarketData
from rl_training.core.run.walk_forward.folds import Fold
from rl_training.files import artifacts, checkpoints
from rl_training.models import Validation, ValidationStep
from rl_training.runs import work_lifecycle
from rl_training.streams import names, outbox
from rl_training.transactions import after_commit

log = structlog.get_logger(__name__)

Kind, Status, StepStatus = ValidationStep.Kind, Validation.Status, ValidationStep.Status

CANCELLED = "cancelled"
# Ended steps whose files one call removes.
FILES = 100


def claim(step_id: str) -> ValidationStep | None:
    """Claim a step: queued -> running, as a new attempt of the caller. The first claim starts the validation.

    Returns None when the step is not queued.
    """
    found = ValidationStep.objects.filter(step_id=step_id).first()
    if found is None:
        return None
    with transaction.atomic():
        # The order of locks is the same everywhere: first the validation, then its step.
        validation = _lock(found.validation_id)
        step = work_lifecycle.claim(ValidationStep, step_id)
        if step is None:
            return None
        step.validation = validation
        if step.kind != Kind.PREPARE:
            ValidationStep.objects.filter(pk=step.pk).update(has_files=True)
        if validation.status == Status.QUEUED:
            _write(validation, status=Status.RUNNING, started_at=timezone.now())
            outbox.write_validation(validation, names.VALIDATION_STARTED, _started(validation))
            after_commit(lambda: _log("Validation started", validation))
    return step


def _lock(pk: int) -> Validation:
    """Return the validation as it is stored, and lock its row until the transaction ends."""
    locked = Validation.objects.select_for_update(of=("self",)).select_related("policy", "trial", "monitored")
    return locked.defer("result").get(pk=pk)


def _locked(step: ValidationStep) -> Validation:
    """Lock the step's validation, set it on the step, and return it."""
    step.validation = _lock(step.validation_id)
    return step.validation


def _write(validation: Validation, **columns: Any) -> None:
    Validation.objects.filter(pk=validation.pk).update(**columns)
    for name, value in columns.items():
        setattr(validation, name, value)


def prepared(
    step: ValidationStep, market: MarketData, folds: Sequence[Fold], iterations: int, one_by_one: bool
) -> bool:
    """End `prepare` and queue all folds, or only the first fold if each fold needs the fold before it.

    iterations  number of iterations in the training of a fold

    Returns False when another attempt owns the step.
    """
    with transaction.atomic():
        validation = _locked(step)
        if not work_lifecycle.succeed(step):
            return False
        _write(
            validation,
            bars=len(market),
            bars_digest=market.digest,
            bars_last=market.span[1],
            first_traded_at=_time(market, folds[0].begin),
        )
        fault_points.reach("fold_steps")
        begun = folds[:1] if one_by_one else folds
        ValidationStep.objects.bulk_create(_fold_step(validation, fold, market, iterations) for fold in begun)
        notify()
    return True


def _fold_step(validation: Validation, fold: Fold, market: MarketData, iterations: int) -> ValidationStep:
    return ValidationStep(
        validation=validation,
        kind=Kind.FOLD,
        number=fold.number,
        fold=asdict(fold),
        iterations=iterations,
        first_traded_at=_time(market, fold.begin),
        last_traded_at=_time(market, fold.end - 1),
    )


def _time(market: MarketData, bar: int) -> datetime:
    time: datetime = market.timestamp[bar].item()
    return time.replace(tzinfo=UTC)


def fold_trained(step: ValidationStep, market: MarketData, following: Fold | None, columns: Mapping[str, Any]) -> bool:
    """End the training of a fold with its columns. Queue the `following` fold, or `judge` after the last fold.

    Returns False when another attempt owns the step.
    """
    with transaction.atomic():
        validation = _locked(step)
        if not work_lifecycle.succeed(step, iterations_done=step.iterations, **columns):
            return False
        fault_points.reach("fold_ended")
        if following is not None:
            _fold_step(validation, following, market, step.iterations).save()
        elif not validation.steps.exclude(status=StepStatus.SUCCEEDED).exists():
            ValidationStep.objects.create(validation=validation, kind=Kind.JUDGE)
        notify()
        after_commit(lambda: checkpoints.remove(step))
    return True


def judged(step: ValidationStep, columns: Mapping[str, Any], then: Callable[[Validation], object]) -> bool:
    """End `judge` and the validation, with the columns of its result. Returns False when another attempt owns the step.

    `then` is called with the validation in the same transaction, for example to promote a version.
    """
    with transaction.atomic():
        validation = _locked(step)
        if not work_lifecycle.succeed(step):
            return False
        fault_points.reach("judged")
        _end(validation, Status.SUCCEEDED, **columns)
        then(validation)
    return True


def fail(step: ValidationStep, error: str) -> bool:
    """Fail a step (running -> failed) and its validation. Returns False when another attempt owns the step."""
    with transaction.atomic():
        validation = _locked(step)
        if not work_lifecycle.fail(step, error):
            return False
        what = f"fold {step.number + 1}: " if step.kind == Kind.FOLD else ""
        _end(validation, Status.FAILED, error=storable(f"{what}{error}"))
    return True


def release(step: ValidationStep, workers_lost: int | None = None) -> bool:
    """Release a step: running -> queued; return False when another attempt owns the step."""
    with transaction.atomic():
        released = work_lifecycle.release(step, workers_lost=workers_lost)
        if released:
            notify()
    return released


def cancel(validation: Validation) -> bool:
    """Cancel a validation at once; return False when it has ended. Workers notice at their next heartbeat."""
    with transaction.atomic():
        found = _lock(validation.pk)
        if found.status not in Validation.ACTIVE:
            return False
        _end(found, Status.CANCELLED, error=CANCELLED)
    return True


def _end(validation: Validation, status: Validation.Status, **columns: Any) -> None:
    """End the validation and cancel its steps that have not ended. Its row is locked."""
    began = validation.started_at
    _write(validation, status=status, finished_at=timezone.now(), **columns)
    left = validation.steps.filter(status__in=ValidationStep.ACTIVE)
    left.update(status=StepStatus.CANCELLED, finished_at=validation.finished_at)
    if began is not None:
        outbox.write_validation(validation, names.VALIDATION_COMPLETED, _completed(validation))
    after_commit(lambda: _log("Validation ended", validation))


def notify() -> None:
    """Notify the workers of waiting steps after the commit."""
    after_commit(send_waiting)


def send_waiting() -> None:
    """Notify the workers of waiting steps, the earliest validation's first, up to VALIDATION_STEPS_AT_ONCE in all.

    The message of a run that becomes due therefore waits behind few steps. The end of each step sends the next step.
    """
    free = settings.VALIDATION_STEPS_AT_ONCE - ValidationStep.objects.sent().count()
    if free > 0:
        work_lifecycle.send(list(ValidationStep.objects.unsent().in_order()[:free]))


def maintain(now: datetime, *, may_reap: bool) -> None:
    """Queue steps with a lost worker again, or fail them, send messages, and remove the files of ended validations.

    `may_reap` is False while missing heartbeats prove nothing, as after the database was away.
    """
    if may_reap:
        work_lifecycle.reap(ValidationStep, release, fail, lock=_locked)
    work_lifecycle.resend_undelivered(ValidationStep.objects.filter(sent_at__isnull=False), now)
    send_waiting()
    remove_files()


def remove_files() -> None:
    """Remove the files of ended validations, except the accounts of their results. An `OSError` is logged."""
    for step in ValidationStep.objects.with_files_to_remove().in_order()[:FILES]:
        try:
            # The policy may have been renamed since the artifact was stored.
            names = {step.artifact, *(artifact_name(step, attempt) for attempt in range(1, step.attempt + 1))}
            for name in names - {"", step.validation.accounts}:
                artifacts.remove(name)
        except OSError as error:
            log.error("Files of an ended validation cannot be deleted", step_id=step.step_id, error=str(error))
            continue
        checkpoints.remove(step)
        ValidationStep.objects.filter(pk=step.pk).update(has_files=False, artifact="")


def artifact_name(step: ValidationStep, attempt: int) -> str:
    """Return the name of the artifact of an attempt of a step."""
    what = f"fold-{step.number}" if step.kind == Kind.FOLD else step.kind
    return f"{step.validation.policy.name}/validation-{step.validation.validation_id}-{what}-{attempt}"


def _started(validation: Validation) -> dict[str, Any]:
    return {
        "validation_id": validation.validation_id,
        "policy": validation.policy.name,
        "market": validation.market,
        "folds": validation.folds,
        "trial": validation.trial.number if validation.trial else None,
    }


def _completed(validation: Validation) -> dict[str, Any]:
    succeeded = validation.status == Status.SUCCEEDED
    judgement = validation.judgement or {}
    payload = _started(validation) | {
        "success": succeeded,
        "verdict": validation.verdict or None,
        "p_above": judgement.get("p_above"),
        "level": judgement.get("level"),
        "bars_last": utc_text(validation.bars_last) if validation.bars_last else None,
    }
    return payload if succeeded else payload | {"error": validation.error}


def _log(what: str, validation: Validation) -> None:
    details: dict[str, Any] = {"validation_id": validation.validation_id, "policy": validation.policy.name}
    details |= {"trial": validation.trial.number if validation.trial else None, "status": validation.status}
    details |= {"verdict": validation.verdict} if validation.verdict else {}
    log.info(what, **details, **({"error": validation.error} if validation.error else {}))
