"""The processes of a worker's pool: they report to their parent process, which kills a silent one.

A process that is stopped, or whose interpreter hangs in a call, cannot end itself. Another worker resumes its run after
RUN_LOST_AFTER_SECONDS. The parent kills the process after the same time, because its place in the pool and the locks
that it holds would otherwise be lost for good.
"""

import multiprocessing
import os
import signal
import threading
import time
from typing import Any

import billiard
import structlog
from celery import current_app
from django.conf import settings

from rl_training.presence import heartbeats

log = structlog.get_logger(__name__)

# Celery sends `heartbeat_sent` every two seconds. After a longer gap the parent process itself was stopped.
PARENT_STOPPED_SECONDS = 10.0
MAX_PROCESSES = 1024
# Memory that the worker and its children share, because it is created before the pool forks. It holds the process id
# and the time of the last heartbeat of each process, by the process's index in the pool.
_heartbeat_pids = multiprocessing.Array("q", MAX_PROCESSES, lock=False)
_heartbeat_times = multiprocessing.Array("d", MAX_PROCESSES, lock=False)
# Whether the worker is shutting down. It has no lock, because a child that is killed while it holds a lock would block
# all others.
_stopping = multiprocessing.RawValue("b", 0)
_last_check = 0.0


def request_stop() -> None:
    """Request that the runs of this worker stop after their current iteration."""
    _stopping.value = 1


def stop_requested() -> bool:
    """Return whether the worker is shutting down."""
    return bool(_stopping.value)


def record_preparing(**_: Any) -> None:
    """Report whether all processes of the pool are still preparing. Receives Celery's signal `heartbeat_sent`."""
    if settings.TRAINING_QUEUE in current_app.amqp.queues.consume_from:
        heartbeats.record_preparing(is_preparing())


def is_preparing() -> bool:
    """Return whether the pool has processes and none of them has started its heartbeat, which follows preparation."""
    started = {process.pid: getattr(process, "index", None) for process in billiard.active_children()}
    return bool(started) and all(index is None or _heartbeat_pids[index] != pid for pid, index in started.items())


def start_heartbeat() -> None:
    """Start the heartbeat of this process of the pool.

    It needs a thread of its own: a thread that queries the database may wait longer than a process may be silent.
    """
    index = billiard.current_process().index
    threading.Thread(target=write_heartbeats, args=[index], name="pool-heartbeat", daemon=True).start()


def write_heartbeats(index: int) -> None:
    """Write the heartbeat of the process with this index in the pool, forever."""
    while True:
        _heartbeat_times[index], _heartbeat_pids[index] = time.monotonic(), os.getpid()
        time.sleep(settings.POOL_HEARTBEAT_SECONDS)


def kill_silent_processes(**_: Any) -> None:
    """Kill the processes whose runs other workers have resumed by now. Receives Celery's signal `heartbeat_sent`."""
    global _last_check
    now, previous = time.monotonic(), _last_check
    _last_check = now
    if now - previous > PARENT_STOPPED_SECONDS:
        # The whole machine may have been stopped: the children must have time to write a heartbeat first.
        return
    for process in billiard.active_children():
        index = getattr(process, "index", None)
        if index is None or _heartbeat_pids[index] != process.pid:
            continue
        silent = now - _heartbeat_times[index]
        if silent > settings.RUN_LOST_AFTER_SECONDS:
            log.error("No heartbeat of a training process, it is killed", pid=process.pid, seconds=round(silent))
            _heartbeat_pids[index] = 0
            os.kill(process.pid, signal.SIGKILL)
