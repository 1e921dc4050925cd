"""Failed logins are logged one by one, and counted by the minute for the alert about many of them.

Redis counts them, because attackers decide how many there are, and the database must not write a row for each.
"""

import time

import redis
import structlog

from quantum_trader.redis_clients import redis_client
from rl_training.accounts.guessing import Origin

# Not a name of `rl_training`, because the lines are not about training.
log = structlog.get_logger("accounts")

KEPT_SECONDS = 86_400
# A failed login does not wait long for a Redis that is away.
TIMEOUT_SECONDS = 0.5


def note(what: str, user: str, origin: Origin, wait: float = 0.0) -> None:
    """Log and count a failure of `what`, such as `login`. `wait`: for how many seconds it was refused unchecked."""
    line = log.bind(what=what, user=user[:100] or None, address=origin.address or None)
    if wait:
        line.warning("Login refused after many failures", wait_seconds=round(wait, 1))
    else:
        line.warning("Login failed")
    try:
        pipeline = redis_client(TIMEOUT_SECONDS).pipeline()
        pipeline.incr(_key(minute := int(time.time()) // 60))
        pipeline.expire(_key(minute), KEPT_SECONDS)
        pipeline.execute()
    except redis.RedisError as error:
        log.warning("A failed login is not counted", error=str(error))


def count(minutes: int) -> int:
    """Return the number of failures in the last minutes, refused ones included. Raises `redis.RedisError`."""
    last = int(time.time()) // 60
    found = redis_client(TIMEOUT_SECONDS).mget([_key(minute) for minute in range(last - minutes, last + 1)])
    return sum(int(number) for number in found if number)


def _key(minute: int) -> str:
    return f"quantum_trader:failed-logins:{minute}"
