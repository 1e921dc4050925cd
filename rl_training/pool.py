"""The processes of a worker's pool show their parent that they run; it ends one that does not.

Nothing inside a process can end it once it is stopped, or holds the interpreter in a call that does not return. Its
run is taken up elsewhere after as long; without this its place in the pool would be lost for good.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import billiard
import structlog

from rl_training.lifecycle import LOST_AFTER

log = structlog.get_logger(__name__)

SHOWN_EVERY_SECONDS = 1.0
MOST_PROCESSES = 1024
# Made before the pool forks, hence shared by the worker and its children. By a process's index in the pool: its number
# while it has a run, else 0, and when it last showed that it runs.
_busy = multiprocessing.Array("q", MOST_PROCESSES, lock=False)
_seen = multiprocessing.Array("d", MOST_PROCESSES, lock=False)


@contextmanager
def shown() -> Iterator[None]:
    """While a process has a run, it shows each second that it runs.

    From a thread that does nothing else: whoever asks the database may wait for longer than a process may be silent.
    """
    index, done = _index(), threading.Event()

    def show() -> None:
        _seen[index] = time.monotonic()
        _busy[index] = os.getpid()

    def go_on() -> None:
        while not done.wait(SHOWN_EVERY_SECONDS):
            show()

    show()
    thread = threading.Thread(target=go_on, name="shown", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _busy[index] = 0


def end_stuck(**_: Any) -> None:
    """Receiver of Celery's signal `heartbeat_sent`: end processes whose run has been given to another by now."""
    now = time.monotonic()
    for process in billiard.active_children():
        index = getattr(process, "index", None)
        if index is None or _busy[index] != process.pid:
            continue
        silent = now - _seen[index]
        if silent > LOST_AFTER.total_seconds():
            log.error("A training process gives no sign of life and is killed", pid=process.pid, seconds=round(silent))
            _busy[index] = 0
            os.kill(process.pid, signal.SIGKILL)


def _index() -> int:
    """0 outside of a pool, as in `train_policy --local`, where nobody looks."""
    return getattr(billiard.current_process(), "index", None) or 0
