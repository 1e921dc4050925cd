"""The owner of a run shows that it lives, hears whether the run is still wanted, and ends when it is stuck."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection

from rl_training.models import TrainingRun
from rl_training.runs import lifecycle
from rl_training.streams import progress

log = structlog.get_logger(__name__)

# Between two tries to write the end of a run.
PAUSE_SECONDS = 1.0


class Owner(threading.Thread):
    """A thread of the process that trains.

    progress   columns of the run, which whoever trains keeps up to date; written with each heartbeat
    stop       set once the run is another's, has been cancelled or has taken too long: training ends after the present
               iteration
    cancelled  set where that is because somebody cancelled it

    A process whose run makes no iteration for the policy's `stall_limit_minutes` is ended by this thread; the run is
    then taken up like that of any lost worker.
    """

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(name=f"owner-{run.run_id}", daemon=True)
        self.training_run = run
        self.progress: dict[str, Any] = {}
        self.stop, self.cancelled, self._done = threading.Event(), threading.Event(), threading.Event()
        self._began_at = self._moved_at = time.monotonic()
        self._beat_at = self._silent_until = 0.0
        self._iterations = self._episodes = 0

    def run(self) -> None:
        while not self._done.wait(settings.OWNER_TICK_SECONDS):
            try:
                self._tick(time.monotonic())
            except DatabaseError as error:
                # Training goes on: if nobody took the run meanwhile, it is still ours.
                log.warning("Heartbeat failed, trying again", run_id=self.training_run.run_id, error=str(error))
            finally:
                connection.close()

    def _tick(self, now: float) -> None:
        run = self.training_run
        iterations, episodes = (self.progress.get(name, 0) for name in ("iterations_done", "episodes_done"))
        if iterations != self._iterations:
            self._iterations, self._moved_at = iterations, now
        if now - self._moved_at > 60 * run.policy.stall_limit_minutes:
            self._end_process()
        if lifecycle.cancel_requested(run):
            self.cancelled.set()
            self.stop.set()
        if now - self._beat_at >= settings.OWNER_HEARTBEAT_SECONDS or episodes != self._episodes:
            if not lifecycle.heartbeat(run, **self.progress) or lifecycle.fail_overdue(run, now - self._began_at):
                self.stop.set()
            self._beat_at, self._episodes = now, episodes

    def moved(self) -> None:
        """Something got done that is no iteration, as a page of bars."""
        self._moved_at = time.monotonic()

    def report(self) -> None:
        """Write the progress now, if the database lets us."""
        try:
            lifecycle.heartbeat(self.training_run, **self.progress)
        except DatabaseError as error:
            log.warning("Progress was not written", run_id=self.training_run.run_id, error=str(error))

    def write(self, write: Callable[..., Any], *given: Any) -> None:
        """Write how the run ended, trying again while the database is away: a result of hours is worth waiting for.

        Nothing is written, and that is logged, where the run is another's by now.
        """
        give_up_at = time.monotonic() + settings.RUN_END_RETRY_SECONDS
        while True:
            try:
                if not write(*given) and self.training_run.status == self.training_run.Status.RUNNING:
                    log.warning("The run is another's by now, its end is not written", what=write.__name__)
                return
            except (OperationalError, InterfaceError) as error:
                if time.monotonic() > give_up_at:
                    raise
                log.warning("The database is away, trying again", error=str(error))
                connection.close()
                # To wait is not to be stuck.
                self.moved()
                time.sleep(PAUSE_SECONDS)

    def announce(self, entry: dict[str, Any]) -> None:
        """Put an entry on the progress stream; none for a while after Redis did not take one."""
        if time.monotonic() >= self._silent_until and not progress.publish(self.training_run, entry):
            self._silent_until = time.monotonic() + settings.PROGRESS_PAUSE_SECONDS

    def _end_process(self) -> None:
        """Where a loop or a call hangs, nothing gentler is sure to end it."""
        log.error(
            "No iteration for too long, ending the process",
            run_id=self.training_run.run_id,
            minutes=self.training_run.policy.stall_limit_minutes,
            **self.progress,
        )
        os.kill(os.getpid(), signal.SIGKILL)

    def __enter__(self) -> "Owner":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
