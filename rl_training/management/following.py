"""Following queued work from a terminal until it has ended."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

INTERRUPTED = 130
# With this pause, the log of an hour's run has a few hundred lines of progress.
PROGRESS_LINE_SECONDS = 10.0
POLL_SECONDS = 0.2


class ProgressLines:
    """Writes lines about progress: at each change of the status, and every PROGRESS_LINE_SECONDS if work was done."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._status, self._done, self._at = "", 0, 0.0

    def write(self, name: str, status: str, done: int, progress: str = "") -> None:
        """Write a line if one is due. `done` is a number that grows with the progress, and `progress` describes it."""
        moved = done != self._done and time.monotonic() - self._at >= PROGRESS_LINE_SECONDS
        if status == self._status and not moved:
            return
        self._status, self._done, self._at = status, done, time.monotonic()
        self._out.write(f"{name} is {status}{progress and ': '}{progress}", str)
        self._out.flush()


def until_ended(work: Any, *fields: str) -> Iterator[None]:
    """Yield repeatedly until the row has ended, and reload its status and the fields each time."""
    while work.status in work.ACTIVE:
        yield
        time.sleep(POLL_SECONDS)
        work.refresh_from_db(fields=["status", *fields])


def follow(
    work: Any, name: str, out: OutputWrapper, progress: Callable[[], tuple[int, str]] = lambda: (0, ""), *fields: str
) -> None:
    """Write lines about the row until it has ended.

    `progress` returns the progress as a growing number and in words. It may read the row's `fields`.
    """
    lines = ProgressLines(out)
    for _ in until_ended(work, *fields):
        lines.write(name, work.status, *progress())


@contextmanager
def ends_when_interrupted(name: str) -> Iterator[None]:
    """End the command with a one-line message when Ctrl-C interrupts it; the work goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError(f"Not waiting any longer; {name} goes on.", returncode=INTERRUPTED) from None
