"""The Redis clients of all processes."""

from functools import cache

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsynchronousRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

# Long enough for a busy Redis, short enough that a page or a tick of beat ends in seconds while Redis does not answer.
TIMEOUT_SECONDS = 5.0


def redis_client(timeout_seconds: float = TIMEOUT_SECONDS) -> redis.Redis:
    """Return this process's client of `settings.REDIS_URL` with that timeout; it decodes answers to text.

    A connection that broke while idle is replaced once, at once. A timeout is not tried again.
    """
    return _client(settings.REDIS_URL, timeout_seconds)


@cache
def _client(url: str, timeout_seconds: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        protocol=3,
        legacy_responses=False,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


def asynchronous_redis_client(timeout_seconds: float = TIMEOUT_SECONDS) -> redis.asyncio.Redis:
    """Return a new asynchronous client with the behaviour of `redis_client`, for the event loop that first uses it.

    Bytes that are no UTF-8 are replaced in the answers, so that one malformed entry does not stop the reader.
    """
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        encoding_errors="replace",
        protocol=3,
        legacy_responses=False,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=AsynchronousRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )
