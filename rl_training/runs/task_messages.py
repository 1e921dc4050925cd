"""Messages to the workers: hints that a run waits. The database is the truth; beat sends lost messages again."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import cast

import structlog
from celery import current_app
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from quantum_trader.redis_clients import redis_client
from rl_training.core import fault_points
from rl_training.models import TrainingRun

log = structlog.get_logger(__name__)

TASK = "rl_training.tasks.train_policy"

# The broker's failures within the context `until_one_fails`; None outside of that context.
_failures: ContextVar[list[Exception] | None] = ContextVar("failures", default=None)


@contextmanager
def until_one_fails() -> Iterator[None]:
    """Send no more messages in this context once one failed, because a stalled broker delays each by seconds."""
    token = _failures.set([])
    try:
        yield
    finally:
        _failures.reset(token)


def send(runs: Sequence[TrainingRun]) -> int:
    """Notify workers that the runs wait; return the number of sent messages. Beat sends the other messages later."""
    sent = 0
    failures = _failures.get()
    if failures or not runs:
        return 0
    fault_points.reach("before_send")
    try:
        for run in runs:
            # The task's id is the run's id, so that the admin can link to the task in Flower.
            current_app.send_task(
                TASK, kwargs={"run_id": run.run_id}, task_id=run.run_id, queue=settings.TRAINING_QUEUE
            )
            sent += 1
        fault_points.reach("sent")
    except (BrokerError, OSError) as error:
        if failures is not None:
            failures.append(error)
        waiting = [run.run_id for run in runs[sent:]]
        log.warning("Runs stay queued until the broker is back", run_ids=waiting, error=str(error))
    TrainingRun.objects.filter(pk__in=[run.pk for run in runs[:sent]]).update(sent_at=timezone.now())
    return sent


def resend_undelivered(now: datetime) -> int:
    """Send lost messages of queued runs again; return their number.

    A message that still waits in the queue is not lost: the workers are busy.
    """
    timeout = timedelta(seconds=settings.MESSAGE_RESEND_AFTER_SECONDS)
    undelivered = list(TrainingRun.objects.undelivered(now, timeout))
    if not undelivered:
        return 0
    waiting = waiting_ids()
    return send([run for run in undelivered if run.run_id not in waiting])


def waiting_ids() -> set[str]:
    """Return the ids of the tasks whose messages wait in the queue."""
    messages = cast(list[str], redis_client().lrange(settings.TRAINING_QUEUE, 0, -1))
    return {json.loads(message)["headers"]["id"] for message in messages}
