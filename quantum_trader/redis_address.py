"""Where Redis is: one address, in the form that each client wants."""

import hashlib
import os
from pathlib import Path
from urllib.parse import quote, urlsplit

# The kernel holds a unix socket's path in 108 bytes, the closing zero included.
LONGEST_SOCKET_PATH = 107


def private_socket(state_dir: Path) -> Path:
    """The unix socket of the private Redis that belongs to a state directory.

    It lies in the state directory, or, where that path is too long for a socket or cannot stand in an address as it
    is, in a folder of /tmp named after a digest of it, so that every process of this checkout finds the same one.
    """
    path = state_dir / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and quote(str(path)) == str(path):
        return path
    digest = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]
    # Not the folder that TMPDIR names: it may be long too, and differ between two terminals.
    return Path("/tmp") / f"quantum_trader-{os.getuid()}-{digest}" / "redis.sock"  # noqa: S108


def broker_url(redis_url: str) -> str:
    """The same Redis as Celery writes it: `unix:///path` becomes `redis+socket:///path`."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    return f"redis+socket://{parts.path}"
