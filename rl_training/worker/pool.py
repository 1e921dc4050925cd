"""The processes of a worker's pool show their parent that they run; it ends one that does not.

Nothing inside a process can end it once it is stopped, or holds the interpreter in a call that does not return. Its
run is taken up elsewhere after as long; without this its place in the pool, and what it has locked, would be lost for
good.
"""

import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import billiard
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

# Celery's heartbeat comes every two seconds.
ASLEEP_AFTER_SECONDS = 10.0
MOST_PROCESSES = 1024
# Made before the pool forks, hence shared by the worker and its children. By a process's index in the pool: its number,
# and when it last showed that it runs.
_shown_by = multiprocessing.Array("q", MOST_PROCESSES, lock=False)
_shown_at = multiprocessing.Array("d", MOST_PROCESSES, lock=False)
_looked_at = 0.0


def show() -> None:
    """From now on this process of the pool shows each second that it runs.

    From a thread that does nothing else: whoever asks the database may wait for longer than a process may be silent.
    """
    threading.Thread(target=go_on_showing, args=[billiard.current_process().index], name="show", daemon=True).start()


def go_on_showing(index: int) -> None:
    while True:
        _shown_at[index], _shown_by[index] = time.monotonic(), os.getpid()
        time.sleep(settings.POOL_HEARTBEAT_SECONDS)


def end_stuck(**_: Any) -> None:
    """Receiver of Celery's signal `heartbeat_sent`: end processes whose run has been given to another by now."""
    global _looked_at
    now, before = time.monotonic(), _looked_at
    _looked_at = now
    if now - before > ASLEEP_AFTER_SECONDS:
        # This process, and perhaps the whole machine, was away: they have not had their time to show themselves.
        return
    for process in billiard.active_children():
        index = getattr(process, "index", None)
        if index is None or _shown_by[index] != process.pid:
            continue
        silent = now - _shown_at[index]
        if silent > settings.RUN_LOST_AFTER_SECONDS:
            log.error("A training process gives no sign of life and is killed", pid=process.pid, seconds=round(silent))
            _shown_by[index] = 0
            os.kill(process.pid, signal.SIGKILL)
