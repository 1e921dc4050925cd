"""Settings for the processes of a fault case, which may arm faults in a process.

The environment variable FAULT holds one or more faults `POINT:NTH:SIGNAL`, separated by blanks. A process that reaches
the point for the NTH time sends itself the signal. The fault happens once in all processes, because a file in STATE_DIR
records it. With `*` for NTH it happens each time, in each process. With the name of an error such as EIO in place of
the signal, the call at the point fails with that error. Besides the points in the code there are `fsync` and `replace`,
which are calls for a checkpoint or its folder.

If STATE_DIR holds a file `clock`, the project's clock is ahead of the machine's by the seconds in it.
"""

import errno
import itertools
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from quantum_trader.settings import *  # noqa: F403
from quantum_trader.settings import CHECKPOINT_ROOT, STATE_DIR
from rl_training.core import fault_points

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def fault(point: str, nth: str, name: str) -> None:
    happened = STATE_DIR / f"{point}.happened"
    times = itertools.count(1)

    def happen() -> None:
        if nth not in ("*", str(next(times))):
            return
        try:
            with happened.open("a" if nth == "*" else "x") as file:
                file.write(f"{os.getpid()} {name} ")
        except FileExistsError:
            return
        if name in signal.Signals.__members__:
            if name == "SIGSTOP":
                wait_for_writes()
            os.kill(os.getpid(), signal.Signals[name])
        else:
            number = getattr(errno, name)
            raise OSError(number, os.strerror(number))

    fault_points.arm(point, happen)


def wait_for_writes() -> None:
    """Wait until no thread of this process holds SQLite's write lock, which a stopped process would keep from all."""
    if not os.environ["DATABASE_URL"]:
        with closing(sqlite3.connect(STATE_DIR / "db.sqlite3", timeout=20, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            file.execute("ROLLBACK")


def reaching(point: str, call: Callable[..., None]) -> Callable[..., None]:
    """Return the call, preceded by the point if its file is a checkpoint or the folder of checkpoints."""

    def reach_and_call(file: int | str | Path, *rest: Any) -> None:
        path = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else str(file)
        if path.startswith(str(CHECKPOINT_ROOT)):
            fault_points.reach(point)
        call(file, *rest)

    return reach_and_call


for each in os.environ.get("FAULT", "").split():
    fault(*each.split(":"))
os.fsync, os.replace = reaching("fsync", os.fsync), reaching("replace", os.replace)


machine_clock = timezone.now
CLOCK = STATE_DIR / "clock"


def clock() -> datetime:
    ahead = float(CLOCK.read_text()) if CLOCK.exists() else 0.0
    return machine_clock() + timedelta(seconds=ahead)


timezone.now = clock
