"""Where Redis is: one address, in the form that each client wants."""

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

# The kernel holds a unix socket's path in 108 bytes, the closing zero included.
LONGEST_SOCKET_PATH = 107


def private_socket(state_dir: Path) -> Path:
    """The unix socket of the private Redis that belongs to a state directory.

    It lies in the state directory, or, where that path is too long for a socket, in a folder of the system's
    temporary directory named after a digest of it, so that every process of this checkout finds the same one.
    """
    path = state_dir / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"quantum_trader-{os.getuid()}-{digest}" / "redis.sock"


def broker_url(redis_url: str) -> str:
    """The same Redis as Celery writes it: `unix:///path` becomes `redis+socket:///path`."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    return f"redis+socket://{parts.path}"
