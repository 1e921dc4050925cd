"""Heartbeats of processes: when each beat, worker and alerts process last completed a round of its loop.

Beat writes a heartbeat at each tick, a worker from the loop of its parent process, and the processes `alerts` and
`decide` with each of their rounds. So a worker whose processes are all busy training has heartbeats too. Redis keeps
the heartbeats, with times of its own clock, because a worker's parent process depends on Redis anyway but not on the
database. A Redis that was emptied has the heartbeats again within seconds.
"""

import json
import os
import socket
from typing import Any, Literal, cast, get_args

import redis
import structlog
from celery import current_app
from django.conf import settings

from quantum_trader.redis_clients import redis_client

log = structlog.get_logger(__name__)

Kind = Literal["beat", "worker", "alerts", "decide"]

SILENT_AFTER_SECONDS: dict[Kind, float] = {kind: settings.SILENT_AFTER_SECONDS[kind] for kind in get_args(Kind)}
FORGOTTEN_AFTER_SECONDS = 3600
# Shorter than the timeouts of the work itself, so that neither a writer nor a reader of heartbeats waits long.
TIMEOUT_SECONDS = 2.0

# Shown with runs that wait while every worker is still preparing.
PREPARING = "the worker is preparing: the first time on a machine, it compiles for about a minute"
PREPARING_KEY = "quantum_trader:preparing"
# Workers report every two seconds.
PREPARING_WITHIN_SECONDS = 10.0

NOW = "local time = redis.call('TIME') local now = time[1] + time[2] / 1e6 "
# Heartbeats in the future were written before the clock was set back; they are removed with the old ones.
RECORD = (
    NOW
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 1, '+inf')
redis.call('ZADD', KEYS[1], now, ARGV[1])
"""
)
READ = (
    NOW
    + """
local ages = {}
local heartbeats = redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], now, 'WITHSCORES')
for i = 1, #heartbeats, 2 do ages[heartbeats[i]] = now - heartbeats[i + 1] end
return cjson.encode(ages)
"""
)


def client() -> redis.Redis:
    """Return a Redis client with a shorter timeout than other clients, because a late heartbeat is useless."""
    return redis_client(TIMEOUT_SECONDS)


def name_of(pid: int) -> str:
    """Return the name of the heartbeat of a process on this machine or in this container."""
    return f"{socket.gethostname()}:{pid}"


def record(kind: Kind) -> None:
    """Write this process's heartbeat; an error of Redis is logged and otherwise ignored."""
    try:
        _record(key(kind))
    except redis.RedisError as error:
        log.debug("Heartbeat was not recorded", kind=kind, error=str(error))


def _record(key: str) -> None:
    client().eval(RECORD, 1, key, name_of(os.getpid()), str(FORGOTTEN_AFTER_SECONDS))


def record_worker(**_: Any) -> None:
    """Write the heartbeat of a worker that trains. Receives Celery's signal `heartbeat_sent`.

    The loop of a worker's parent process sends the signal. Workers of other queues send it too and are ignored.
    """
    if settings.TRAINING_QUEUE in current_app.amqp.queues.consume_from:
        record("worker")


def ages(kind: Kind) -> dict[str, float]:
    """Return the age in seconds of the last heartbeat of each process, by the process's name, up to an hour.

    Raises `redis.RedisError`.
    """
    return _ages(key(kind))


def _ages(key: str) -> dict[str, float]:
    found = json.loads(cast(str, client().eval(READ, 1, key, str(FORGOTTEN_AFTER_SECONDS))))
    return {name: float(age) for name, age in found.items()}


def record_preparing(preparing: bool) -> None:
    """Write whether this worker is preparing and cannot train yet; an error of Redis is logged and ignored."""
    try:
        if preparing:
            _record(PREPARING_KEY)
        else:
            client().zrem(PREPARING_KEY, name_of(os.getpid()))
    except redis.RedisError as error:
        log.debug("Preparation was not recorded", error=str(error))


def workers_are_preparing() -> bool:
    """Return whether there are workers and all of them are preparing; False when Redis does not answer."""
    try:
        alive, preparing = ages("worker"), _ages(PREPARING_KEY)
    except redis.RedisError:
        return False
    names = {name for name, age in alive.items() if age < PREPARING_WITHIN_SECONDS}
    return bool(names) and names <= {name for name, age in preparing.items() if age < PREPARING_WITHIN_SECONDS}


def key(kind: Kind) -> str:
    """Return the Redis key of the heartbeats of one kind of process."""
    return f"quantum_trader:alive:{kind}"
