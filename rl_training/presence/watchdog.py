"""What `up` does about a service that hangs: its process lives, so no exit tells the supervisor."""

import time
from typing import get_args

import redis
import structlog
from django.conf import settings

from quantum_trader.supervisor import Supervisor
from rl_training.presence import heartbeats
from rl_training.presence.heartbeats import Kind

log = structlog.get_logger(__name__)

LOOK_EVERY_SECONDS = 5.0


class Watchdog:
    """Ends a service that gives no sign of life for too long; the supervisor starts it again.

    Silence is counted from the last sign, from when the process was first seen, or from when Redis last did not answer,
    whichever is latest: without Redis nobody can be heard, and none is to blame.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._next_look = 0.0
        self._heard: dict[Kind, tuple[int, float]] = {}

    def look(self) -> None:
        """Look at each service, if the last look is some seconds ago."""
        now = time.monotonic()
        if now < self._next_look:
            return
        for kind in get_args(Kind):
            self._look_at(kind, now)
        self._next_look = time.monotonic() + LOOK_EVERY_SECONDS

    def _look_at(self, kind: Kind, now: float) -> None:
        pid = self._supervisor.pid(kind)
        if pid is None:
            return
        heard = self._last_heard(kind, pid, now)
        self._heard[kind] = pid, heard
        if now - heard > settings.HUNG_AFTER_SECONDS[kind]:
            log.error("Service gives no sign of life and is killed", service=kind, silent_seconds=round(now - heard))
            self._supervisor.kill(kind)

    def _last_heard(self, kind: Kind, pid: int, now: float) -> float:
        known, heard = self._heard.get(kind, (pid, now))
        try:
            age = heartbeats.ages(kind).get(heartbeats.name_of(pid))
        except redis.RedisError:
            return now
        if known != pid:
            heard = now
        return heard if age is None else max(heard, now - age)
