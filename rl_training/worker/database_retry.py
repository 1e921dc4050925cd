"""Writing the end of a run or of other work, again and again while the database is away."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from rl_training.models import TrainingRun
from rl_training.models.work.queued_work import QueuedWork

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0


def write_end(
    write: Callable[..., object],
    work: TrainingRun | QueuedWork,
    *arguments: Any,
    while_waiting: Callable[[], None],
) -> None:
    """Call `write(work, *arguments)`, a transition, until the database takes it.

    Waiting is worth while because the result took hours. `while_waiting` is called before each pause. Logs a warning
    when `write` returns something false because another attempt owns the work. Raises the database's error after
    `settings.RUN_END_RETRY_SECONDS`.
    """
    give_up_at = time.monotonic() + settings.RUN_END_RETRY_SECONDS
    while True:
        try:
            if not write(work, *arguments) and work.status == TrainingRun.Status.RUNNING:
                log.warning("The work is another's by now, its end is not written", what=write.__name__)
            return
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() > give_up_at:
                raise
            log.warning("The database is away, trying again", error=str(error))
            connection.close()
            while_waiting()
            time.sleep(PAUSE_SECONDS)
