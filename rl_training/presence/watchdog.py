"""The watchdog of `up`, which restarts a service that hangs. The supervisor only notices processes that have ended."""

import time
from typing import get_args

import redis
import structlog
from django.conf import settings

from quantum_trader.running.supervisor import Supervisor
from rl_training.presence import heartbeats
from rl_training.presence.heartbeats import Kind

log = structlog.get_logger(__name__)

CHECK_EVERY_SECONDS = 5.0


class Watchdog:
    """Kills a service without a heartbeat for too long; the supervisor then starts it again.

    The silence counts from the last heartbeat, from the time when the process was first seen, or from the last time
    when Redis did not answer, whichever is latest: without Redis no process can write a heartbeat.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._next_check = 0.0
        # The process of each service, and the time from which its silence counts, by the service's name.
        self._silent_since: dict[Kind, tuple[int, float]] = {}

    def check(self) -> None:
        """Check each service, at most every CHECK_EVERY_SECONDS."""
        now = time.monotonic()
        if now < self._next_check:
            return
        for kind in get_args(Kind):
            self._check_service(kind, now)
        self._next_check = time.monotonic() + CHECK_EVERY_SECONDS

    def _check_service(self, kind: Kind, now: float) -> None:
        pid = self._supervisor.pid(kind)
        if pid is None:
            return
        since = self._find_silent_since(kind, pid, now)
        self._silent_since[kind] = pid, since
        if now - since > settings.HUNG_AFTER_SECONDS[kind]:
            log.error("No heartbeat of a service, it is killed", service=kind, silent_seconds=round(now - since))
            self._supervisor.kill(kind)

    def _find_silent_since(self, kind: Kind, pid: int, now: float) -> float:
        known_pid, since = self._silent_since.get(kind, (pid, now))
        try:
            age = heartbeats.ages(kind).get(heartbeats.name_of(pid))
        except redis.RedisError:
            return now
        if known_pid != pid:
            since = now
        return since if age is None else max(since, now - age)
