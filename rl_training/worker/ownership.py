"""The owner of a run writes its heartbeat, notices when the run must stop, and ends a process that is stuck."""

import os
import signal
import threading
import time
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from rl_training.models import TrainingRun
from rl_training.runs import lifecycle
from rl_training.worker.run_progress import RunProgress

log = structlog.get_logger(__name__)


class Owner(threading.Thread):
    """A thread beside the training of a run, in the same process.

    progress   what training has done so far; written with each heartbeat
    stop       set once another attempt owns the run, or the run was cancelled or has taken too long: training ends
               after its current iteration
    cancelled  set when `stop` is set because a user cancelled the run

    The thread kills its own process when the run completes no iteration for the policy's `stall_limit_minutes`. The run
    is then resumed like the run of any lost worker.
    """

    def __init__(self, run: TrainingRun) -> None:
        super().__init__(name=f"owner-{run.run_id}", daemon=True)
        self.training_run = run
        self.progress = RunProgress()
        self.stop, self.cancelled, self._done = threading.Event(), threading.Event(), threading.Event()
        self._began_at = self._active_at = time.monotonic()
        self._heartbeat_at = self._curve_at = 0.0
        self._iterations: int | None = None
        self._episodes: int | None = None

    def run(self) -> None:
        while not self._done.wait(settings.OWNER_TICK_SECONDS):
            try:
                self._tick(time.monotonic())
            except DatabaseError as error:
                # Training goes on, because this process owns the run unless the run is reaped meanwhile.
                log.warning("Heartbeat failed, trying again", run_id=self.training_run.run_id, error=str(error))
            finally:
                connection.close()

    def _tick(self, now: float) -> None:
        run, progress = self.training_run, self.progress
        if progress.iterations_done != self._iterations:
            self._iterations, self._active_at = progress.iterations_done, now
        if now - self._active_at > 60 * run.policy.stall_limit_minutes:
            self._end_process()
        if lifecycle.cancel_requested(run):
            self.cancelled.set()
            self.stop.set()
        episodes = progress.episodes_done
        if now - self._heartbeat_at >= settings.OWNER_HEARTBEAT_SECONDS or episodes != self._episodes:
            if not lifecycle.heartbeat(run, **self._columns(now)) or lifecycle.fail_overdue(
                run, now - self._began_at, progress.results
            ):
                self.stop.set()
            self._heartbeat_at, self._episodes = now, episodes

    def _columns(self, now: float) -> dict[str, Any]:
        """Return the progress to write. With short episodes, most heartbeats leave out the large curve."""
        if now - self._curve_at < settings.OWNER_HEARTBEAT_SECONDS:
            return self.progress.columns()
        self._curve_at = now
        return self.progress.all_columns()

    def note_activity(self) -> None:
        """Restart the stall limit. Called by work other than iterations, such as reading a page of bars."""
        self._active_at = time.monotonic()

    def write_progress(self) -> None:
        """Write the progress now; a database error is logged and otherwise ignored."""
        # An open connection would wait for a server that hangs; a new connection fails after its time limit.
        connection.close()
        try:
            lifecycle.heartbeat(self.training_run, **self.progress.all_columns())
        except DatabaseError as error:
            log.warning("Progress was not written", run_id=self.training_run.run_id, error=str(error))

    def _end_process(self) -> None:
        """Kill this process: where a loop or a call hangs, no gentler signal is sure to end it."""
        log.error(
            "No iteration for too long, ending the process",
            run_id=self.training_run.run_id,
            minutes=self.training_run.policy.stall_limit_minutes,
            **self.progress.columns(),
        )
        os.kill(os.getpid(), signal.SIGKILL)

    def __enter__(self) -> "Owner":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
