"""The project's settings for the real processes of a fault test, which may arm a fault in one of them.

FAULT is `POINT:NTH:SIGNAL`, or several with blanks between: at the NTH time that a process with it in its environment
reaches the point, it sends itself the signal; once, whatever the number of processes: a file in STATE_DIR remembers
that it has happened. `*` for NTH is each time, in each process. The name of an error, as EIO, in place of the signal:
what was about to happen fails with it. Points beside those of the code are `fsync` and `replace`: a checkpoint's, or
its folder's.

The clock that the project reads is ahead of the machine's by the seconds in the file `clock` of STATE_DIR, if any.
"""

import errno
import itertools
import os
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from quantum_trader.settings import *  # noqa: F403
from rl_training.core import fault_points

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def fault(point: str, nth: str, name: str) -> None:
    happened = Path(os.environ["STATE_DIR"]) / f"{point}.happened"
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
            os.kill(os.getpid(), signal.Signals[name])
        else:
            number = getattr(errno, name)
            raise OSError(number, os.strerror(number))

    fault_points.arm(point, happen)


def reaching(point: str, call: Callable[..., None]) -> Callable[..., None]:
    """The call, which reaches the point first where it is about a checkpoint."""

    def reach_and_call(file: int | str | Path, *rest: Any) -> None:
        path = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else str(file)
        if path.startswith(str(CHECKPOINT_ROOT)):  # noqa: F405
            fault_points.reach(point)
        call(file, *rest)

    return reach_and_call


for each in os.environ.get("FAULT", "").split():
    fault(*each.split(":"))
os.fsync, os.replace = reaching("fsync", os.fsync), reaching("replace", os.replace)


machine_clock = timezone.now
CLOCK = Path(os.environ["STATE_DIR"]) / "clock"


def clock() -> datetime:
    ahead = float(CLOCK.read_text()) if CLOCK.exists() else 0.0
    return machine_clock() + timedelta(seconds=ahead)


timezone.now = clock
