"""The owner of queued work other than a run: writes heartbeats, and ends work that is stuck or takes too long."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from rl_training.core.words import count_of
from rl_training.models.work.queued_work import QueuedWork
from rl_training.runs import work_lifecycle

log = structlog.get_logger(__name__)


class StoppedError(Exception):
    """The worker stops, or this attempt no longer owns the work."""


@dataclass(frozen=True)
class Limits:
    """Limits of an attempt.

    stall_minutes  minutes without activity after which the owner kills its own process; the work is then repeated
    most_minutes   minutes after which the work fails
    """

    stall_minutes: int
    most_minutes: int


class WorkOwner(threading.Thread):
    """A thread beside the computation, in the same process.

    stop      set once the computation has to end: another attempt owns the work, it was cancelled, or it yields
    progress  columns that are written with each heartbeat
    yields    called with each heartbeat; returns whether other work needs the process, and then `stop` is set
    """

    def __init__(
        self,
        work: QueuedWork,
        *,
        limits: Limits | None = None,
        fail: Callable[[Any, str], object] = work_lifecycle.fail,
        yields: Callable[[float], bool] = lambda seconds: False,
    ) -> None:
        super().__init__(name=f"owner-{work.task_id}", daemon=True)
        self.progress: dict[str, Any] = {}
        self.stop, self._done = threading.Event(), threading.Event()
        self._work, self._limits, self._fail, self._yields = work, limits, fail, yields
        self._began_at = self._active_at = time.monotonic()

    def note_activity(self) -> None:
        """Restart the stall limit."""
        self._active_at = time.monotonic()

    def run(self) -> None:
        heartbeat_at = 0.0
        while not self._done.wait(settings.OWNER_TICK_SECONDS):
            now = time.monotonic()
            if self._limits and now - self._active_at > 60 * self._limits.stall_minutes:
                self._end_process(self._limits.stall_minutes)
            if now - heartbeat_at >= settings.OWNER_HEARTBEAT_SECONDS:
                heartbeat_at = now
                self._write_heartbeat(now - self._began_at)

    def _write_heartbeat(self, seconds: float) -> None:
        try:
            if not work_lifecycle.heartbeat(self._work, **self.progress) or self._yields(seconds):
                self.stop.set()
            elif self._limits and seconds > 60 * self._limits.most_minutes:
                self._fail(
                    self._work, f"took longer than {count_of(self._limits.most_minutes, 'minute')}, the policy's limit"
                )
                self.stop.set()
        except DatabaseError as error:
            # The work goes on, because this process owns the work unless the work is reaped meanwhile.
            log.warning("Heartbeat failed, trying again", task_id=self._work.task_id, error=str(error))
        finally:
            connection.close()

    def _end_process(self, minutes: int) -> None:
        """Kill this process: where a loop or a call hangs, no gentler signal is sure to end it."""
        log.error("No progress for too long, ending the process", task_id=self._work.task_id, minutes=minutes)
        os.kill(os.getpid(), signal.SIGKILL)

    def __enter__(self) -> "WorkOwner":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
