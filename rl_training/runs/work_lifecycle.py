"""The life of queued work other than runs. Only the end of a validation cancels its steps without this code.

    queued -> running -> succeeded | failed | cancelled
       ^         |
       +---------+  released (graceful stop), or reaped (worker lost)

Every transition is one conditional UPDATE, like the transitions of a run in `lifecycle.py`. A worker's writes carry the
attempt that the worker claimed, so a worker that lost its work changes nothing.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from quantum_trader.text import storable
from rl_training.models.work.queued_work import QueuedWork, QueuedWorkQuerySet
from rl_training.runs.reaping import MAX_LOST_WORKERS, lost_after
from rl_training.runs.task_messages import waiting_ids
from rl_training.transactions import after_commit

log = structlog.get_logger(__name__)

Work = TypeVar("Work", bound=QueuedWork)

Status = QueuedWork.Status


def _rows(kind: type[Work]) -> QueuedWorkQuerySet[Work]:
    rows: Any = kind._default_manager.all()
    return cast(QueuedWorkQuerySet[Work], rows)


def _held(work: Work) -> QueuedWorkQuerySet[Work]:
    return _rows(type(work)).held_by(work)


def claim(kind: type[Work], task_id: str) -> Work | None:
    """Claim work: queued -> running, as a new attempt of the caller. Returns None when the work is not queued."""
    named = _rows(kind).filter(**{kind.ID: task_id})
    with transaction.atomic():
        if not named.filter(status=Status.QUEUED).update(
            status=Status.RUNNING, attempt=F("attempt") + 1, heartbeat_at=Now()
        ):
            return None
        claimed = named.get()
        if claimed.started_at is None:
            claimed.started_at = timezone.now()
            _held(claimed).update(started_at=claimed.started_at)
    return claimed


def heartbeat(work: QueuedWork, **progress: Any) -> bool:
    """Write the owner's heartbeat and these columns; return False when another attempt owns the work or it ended."""
    return bool(_held(work).update(heartbeat_at=Now(), **progress))


def succeed(work: QueuedWork, **columns: Any) -> bool:
    """End work: running -> succeeded, with the result's columns; return False when another attempt owns the work."""
    return end(work, Status.SUCCEEDED, **columns)


def fail(work: QueuedWork, error: str) -> bool:
    """End work: running -> failed; return False when another attempt owns the work."""
    return end(work, Status.FAILED, error=storable(error))


def cancel(work: QueuedWork) -> bool:
    """Cancel work at once; return False when it has ended. The worker notices at its next heartbeat."""
    active = _rows(type(work)).active().filter(pk=work.pk)
    return bool(active.update(status=Status.CANCELLED, finished_at=timezone.now()))


def end(work: QueuedWork, status: QueuedWork.Status, **columns: Any) -> bool:
    """End the work with this status; return False when another attempt owns the work."""
    ended = _held(work).update(status=status, finished_at=timezone.now(), **columns)
    if ended:
        why = {"error": columns["error"]} if "error" in columns else {}
        log.info(f"{_name(work)} ended", **_id(work), status=str(status), **why)
    return bool(ended)


def release(work: QueuedWork, *, workers_lost: int | None = None) -> bool:
    """Release work: running -> queued; return False when another attempt owns the work."""
    columns: dict[str, Any] = {"status": Status.QUEUED, "heartbeat_at": None, "queued_at": timezone.now()}
    if workers_lost is not None:
        columns["workers_lost"] = workers_lost
    return bool(_held(work).update(sent_at=None, **columns))


def reap(
    kind: type[Work],
    release: Callable[[Work, int], object],
    fail: Callable[[Work, str], object],
    lock: Callable[[Work], object] = lambda work: None,
) -> None:
    """Call `release(work, lost workers)` for work whose worker is lost, or `fail(work, error)` after too many of them.

    `lock` locks other rows that `fail` changes, before the work itself is locked.
    """
    began = time.monotonic()
    lost = list(_rows(kind).lost(lost_after()))
    if time.monotonic() - began > settings.OWNER_HEARTBEAT_SECONDS:
        # The database answered late, so the owners' heartbeats may be late too. The next call decides.
        return
    for work in lost:
        with transaction.atomic():
            lock(work)
            # The owner may have written a heartbeat since the work was listed.
            if not _rows(kind).lost(lost_after()).filter(pk=work.pk).select_for_update().values_list("pk"):
                continue
            workers = work.workers_lost + 1
            if workers >= MAX_LOST_WORKERS:
                fail(work, f"worker lost in {workers} attempts")
            else:
                log.warning(f"{_name(work)} queued again", **_id(work), reason="worker lost", attempt=work.attempt)
                release(work, workers)


def notify(works: Sequence[QueuedWork]) -> None:
    """Notify a worker of each piece of work after the commit."""
    after_commit(lambda: send(works))


def send(works: Sequence[QueuedWork]) -> None:
    """Notify a worker of each piece of work. Beat sends messages that the broker refuses again."""
    for work in works:
        try:
            current_app.send_task(
                work.TASK, kwargs={work.ID: work.task_id}, task_id=work.task_id, queue=settings.TRAINING_QUEUE
            )
        except (BrokerError, OSError) as error:
            log.warning(f"{_name(work)} stays queued until the broker is back", **_id(work), error=str(error))
            return
        type(work)._default_manager.filter(pk=work.pk).update(sent_at=timezone.now())


def resend_undelivered(works: QueuedWorkQuerySet[Any], now: datetime) -> None:
    """Send lost messages of the queued work among `works` again."""
    undelivered = list(works.undelivered(now, timedelta(seconds=settings.MESSAGE_RESEND_AFTER_SECONDS)))
    if undelivered:
        waiting = waiting_ids()
        send([work for work in undelivered if work.task_id not in waiting])


def _name(work: QueuedWork) -> str:
    return str(work._meta.verbose_name).capitalize()


def _id(work: QueuedWork) -> dict[str, str]:
    return {work.ID: work.task_id}
