"""Heartbeats of processes: when each beat, worker and alerts process last completed a round of its loop.

Beat writes a heartbeat at each tick, a worker from the loop of its parent process, and the alerts process with each
round. So a worker whose processes are all busy training has heartbeats too. Redis keeps them, dated by its own clock,
because a worker's parent process depends on Redis anyway, while it does not need the database. A Redis that was emptied
has the heartbeats again within seconds.
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

Kind = Literal["beat", "worker", "alerts"]

SILENT_AFTER_SECONDS: dict[Kind, float] = {kind: settings.SILENT_AFTER_SECONDS[kind] for kind in get_args(Kind)}
FORGOTTEN_AFTER_SECONDS = 3600
# Shorter than the timeouts of the work itself, so that neither a writer nor a reader of heartbeats waits long.
TIMEOUT_SECONDS = 2.0

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
    """Return a Redis client that gives up sooner than other clients: a late heartbeat is of no use."""
    return redis_client(TIMEOUT_SECONDS)


def name_of(pid: int) -> str:
    """Return the name of the heartbeat of a process on this machine or in this container."""
    return f"{socket.gethostname()}:{pid}"


def record(kind: Kind) -> None:
    """Write this process's heartbeat; an error of Redis is logged and otherwise ignored."""
    try:
        client().eval(RECORD, 1, key(kind), name_of(os.getpid()), str(FORGOTTEN_AFTER_SECONDS))
    except redis.RedisError as error:
        log.debug("Sign of life was not recorded", kind=kind, error=str(error))


def record_worker(**_: Any) -> None:
    """Write the heartbeat of a worker that trains. Receives Celery's signal `heartbeat_sent`.

    The loop of a worker's parent process sends the signal. Workers of other queues send it too and are ignored.
    """
    if settings.TRAINING_QUEUE in current_app.amqp.queues.consume_from:
        record("worker")


def ages(kind: Kind) -> dict[str, float]:
    """Return the seconds since the last heartbeat of each process, as far as it is less than an hour old, by name.

    Raises `redis.RedisError`.
    """
    found = json.loads(cast(str, client().eval(READ, 1, key(kind), str(FORGOTTEN_AFTER_SECONDS))))
    return {name: float(age) for name, age in found.items()}


def key(kind: Kind) -> str:
    """Return the Redis key of the heartbeats of one kind of process."""
    return f"quantum_trader:alive:{kind}"
