"""The URL of Redis in the form that each client expects."""

import hashlib
import os
from pathlib import Path
from urllib.parse import quote, urlsplit

# The kernel stores a unix socket's path in 108 bytes, including the final zero.
LONGEST_SOCKET_PATH = 107


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
    """Return the URL in Celery's form: `unix:///path` becomes `redis+socket:///path`."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    return f"redis+socket://{parts.path}"
