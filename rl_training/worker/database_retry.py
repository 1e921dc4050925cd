"""Calls that are repeated while the database is unavailable, because the work before them took hours."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from rl_training.models import TrainingRun
from rl_training.models.work.queued_work import QueuedWork

log = structlog.get_logger(__name__)

T = TypeVar("T")

PAUSE_SECONDS = 1.0


def patiently(call: Callable[..., T], *arguments: Any, while_waiting: Callable[[], None]) -> T:
    """Return `call(*arguments)`. While the database is unavailable, repeat the call after a pause.

    `while_waiting` is called before each pause. Raises the database's error when the calls have failed for
    `settings.RUN_END_RETRY_SECONDS`.
    """
    give_up_at = None
    while True:
        try:
            return call(*arguments)
        except (OperationalError, InterfaceError) as error:
            now = time.monotonic()
            give_up_at = give_up_at or now + settings.RUN_END_RETRY_SECONDS
            if now > give_up_at:
                raise
            log.warning("The database is away, trying again", error=str(error))
            connection.close()
            while_waiting()
            time.sleep(PAUSE_SECONDS)


def write_end(
    write: Callable[..., object],
    work: TrainingRun | QueuedWork,
    *arguments: Any,
    while_waiting: Callable[[], None],
) -> None:
    """Call `write(work, *arguments)`, a transition, until the database takes it; see `patiently`.

    Logs a warning when `write` returns a false value because another attempt owns the work.
    """
    written = patiently(write, work, *arguments, while_waiting=while_waiting)
    if not written and work.status == TrainingRun.Status.RUNNING:
        log.warning("The work is another's by now, its end is not written", what=write.__name__)
