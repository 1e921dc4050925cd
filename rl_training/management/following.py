"""Following queued work from a terminal until it has ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError, OutputWrapper

INTERRUPTED = 130
# A log of an hour's run has a few hundred lines of progress.
PROGRESS_LINE_SECONDS = 10.0


class ProgressLines:
    """Lines with the progress of work: at each change of its status, and every PROGRESS_LINE_SECONDS if it moved."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._status, self._done, self._at = "", 0, 0.0

    def write(self, name: str, status: str, done: int, progress: str = "") -> None:
        """Write a line if one is due; `done` grows with the progress, and `progress` says it."""
        moved = done != self._done and time.monotonic() - self._at >= PROGRESS_LINE_SECONDS
        if status == self._status and not moved:
            return
        self._status, self._done, self._at = status, done, time.monotonic()
        self._out.write(f"{name} is {status}{progress and ': '}{progress}", str)
        self._out.flush()


@contextmanager
def ends_when_interrupted(name: str) -> Iterator[None]:
    """End the command in a line when a key interrupts it; the work goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError(f"Not waiting any longer; {name} goes on.", returncode=INTERRUPTED) from None
