"""Redis: the clients of all processes, and the URL that they connect to."""

import hashlib
import os
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlsplit

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsynchronousRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

# Long enough for a busy Redis, short enough that a page or a tick of beat ends in seconds while Redis does not answer.
TIMEOUT_SECONDS = 5.0
# The kernel stores a unix socket's path in 108 bytes, including the final zero.
LONGEST_SOCKET_PATH = 107


def redis_client(timeout_seconds: float = TIMEOUT_SECONDS) -> redis.Redis:
    """Return this process's client of `settings.REDIS_URL` with this timeout. The client decodes answers to text.

    A command that finds its connection broken is tried once more, at once. A timeout is not tried again.
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


def private_socket(state_dir: Path) -> Path:
    """Return the path of the unix socket of a state directory's private Redis.

    The socket is in the state directory. Where that path is too long for a socket or not valid in a URL, the socket is
    in a folder of /tmp whose name is a digest of the state directory, so that every process finds the same socket.
    """
    path = state_dir / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and quote(str(path)) == str(path):
        return path
    digest = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]
    # TMPDIR may be long as well, and may differ between two terminals.
    return Path("/tmp") / f"quantum_trader-{os.getuid()}-{digest}" / "redis.sock"  # noqa: S108


def broker_url(redis_url: str) -> str:
    """Return the URL in Celery's form: `unix:///path?db=1` becomes `redis+socket:///path?virtual_host=1`."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    named = redis.ConnectionPool.from_url(redis_url).connection_kwargs
    login = ":".join(quote(named.get(part) or "", safe="") for part in ("username", "password"))
    database = f"?virtual_host={named['db']}" if named.get("db") else ""
    return (
        f"redis+socket://{login}@{parts.path}{database}" if login != ":" else f"redis+socket://{parts.path}{database}"
    )
