"""Signs of life: when each beat and each worker last came round, by the clock of Redis, which keeps them.

A beat gives a sign at its ticks, a worker from the loop of its parent process, so that one whose processes are all busy
training is heard as well, and a process that looks after alerts with each round. They are in Redis because that is what
a worker's parent waits for anyway: a database that is away must not make it fall silent. A Redis that was emptied has
them again within seconds.
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
# Whoever gives or reads a sign has other things to do: shorter than the timeouts of the work itself.
TIMEOUT_SECONDS = 2.0

NOW = "local time = redis.call('TIME') local now = time[1] + time[2] / 1e6 "
# One that is dated ahead, by a clock that was set back since, says nothing about now.
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
local signs = redis.call('ZRANGEBYSCORE', KEYS[1], now - ARGV[1], now, 'WITHSCORES')
for i = 1, #signs, 2 do ages[signs[i]] = now - signs[i + 1] end
return cjson.encode(ages)
"""
)


def client() -> redis.Redis:
    """Less patient than that of the events: a sign that comes late is of no use."""
    return redis_client(TIMEOUT_SECONDS)


def name_of(pid: int) -> str:
    """What the signs of a process of this machine, or container, are kept under."""
    return f"{socket.gethostname()}:{pid}"


def record(kind: Kind) -> None:
    """Show that this process does its rounds; without Redis it is not shown, and the rounds go on."""
    try:
        client().eval(RECORD, 1, key(kind), name_of(os.getpid()), str(FORGOTTEN_AFTER_SECONDS))
    except redis.RedisError as error:
        log.debug("Sign of life was not recorded", kind=kind, error=str(error))


def record_worker(**_: Any) -> None:
    """Receiver of Celery's signal `heartbeat_sent`, which the loop of a worker's parent process sends.

    A worker is one that trains: another may live while nobody does.
    """
    if settings.TRAINING_QUEUE in current_app.amqp.queues.consume_from:
        record("worker")


def ages(kind: Kind) -> dict[str, float]:
    """Seconds since the last sign of each process heard in the last hour. Raises `redis.RedisError`."""
    found = json.loads(cast(str, client().eval(READ, 1, key(kind), str(FORGOTTEN_AFTER_SECONDS))))
    return {name: float(age) for name, age in found.items()}


def key(kind: Kind) -> str:
    return f"quantum_trader:alive:{kind}"
