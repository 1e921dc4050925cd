"""Beat's housekeeping of stored files and failed logins, once a minute. Only one of several beats does it."""

from datetime import datetime

from rl_training.accounts import guessing
from rl_training.streams import retention
from rl_training.versions import bars_retention, weights_retention

LOCK = "quantum_trader:stored_files"
EVERY_SECONDS = 60


def maintain(now: datetime) -> None:
    """Remove files that the rules of retention no longer keep, and old failed logins.

    The work of each call is bounded.

    Raises `redis.RedisError` when Redis cannot be reached.
    """
    if retention.acquire(LOCK, EVERY_SECONDS):
        bars_retention.remove_unneeded(now)
        weights_retention.remove_old(now)
        guessing.forget_old(now)
