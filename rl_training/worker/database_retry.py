"""Writing the end of a run, again and again while the database is away."""

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from rl_training.models import TrainingRun

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0


def write_end(
    write: Callable[..., object], run: TrainingRun, *arguments: Any, while_waiting: Callable[[], None]
) -> None:
    """Call `write(run, *arguments)`, a transition of `lifecycle.py`, until the database takes it.

    Waiting is worth while because the result took hours. `while_waiting` is called before each pause. Logs a warning
    when `write` returns something false because another attempt owns the run. Raises the database's error after
    `settings.RUN_END_RETRY_SECONDS`.
    """
    give_up_at = time.monotonic() + settings.RUN_END_RETRY_SECONDS
    while True:
        try:
            if not write(run, *arguments) and run.status == TrainingRun.Status.RUNNING:
                log.warning("The run is another's by now, its end is not written", what=write.__name__)
            return
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() > give_up_at:
                raise
            log.warning("The database is away, trying again", error=str(error))
            connection.close()
            while_waiting()
            time.sleep(PAUSE_SECONDS)
