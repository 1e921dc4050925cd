"""DATABASE_URL and REDIS_URL: checked before a client reads them, because clients misread a URL without an error.

Messages do not show the URLs, which contain passwords.
"""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import environ
import redis
from django.core.exceptions import ImproperlyConfigured

POSTGRESQL = ("postgres", "postgresql", "psql", "pgsql")
ENCODE = (
    "In user name and password, write each of these characters as shown: / as %2F, # as %23, ? as %3F, @ as %40, "
    ": as %3A, [ as %5B, ] as %5D and % as %25"
)


def database_config(url: str, default: Path) -> dict[str, Any]:
    """Return Django's settings of the database at the URL; without a URL, those of an SQLite file at `default`.

    Raises `ImproperlyConfigured` for a URL that names no database or whose password hides the host.
    """
    if not url:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": default}
    right = "DATABASE_URL is not a database's address, as postgres://user:password@host/name."
    parts = _split(url, right)
    several_hosts = "," in parts.netloc
    if parts.scheme not in (*POSTGRESQL, "sqlite") or not (parts.path.strip("/") or parts.scheme == "sqlite"):
        raise ImproperlyConfigured(f"{right} {ENCODE}.")
    if _misread(parts) or not (several_hosts or _has_valid_port(parts)):
        raise ImproperlyConfigured(f"{right} {ENCODE}.")
    config: dict[str, Any] = environ.Env.db_url_config(url)
    return config


def checked_redis_url(url: str) -> str:
    """Return the URL. Raises `ImproperlyConfigured` unless it names a Redis: its host or socket, and its database."""
    right = "REDIS_URL is not a Redis server's address, as redis://:password@host:6379/0 or unix:///path/to/redis.sock."
    parts = _split(url, right)
    if parts.scheme == "unix":
        valid = len(parts.path) > 1 and not parts.hostname
    else:
        database = parts.path.removeprefix("/")
        valid = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and (not database or database.isdecimal())
    if not valid or _misread(parts) or not _has_valid_port(parts):
        raise ImproperlyConfigured(f"{right} {ENCODE}.")
    try:
        pool = redis.ConnectionPool.from_url(url)
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError):
        raise ImproperlyConfigured(f"{right} Its options after ? are unknown or have wrong values.") from None
    return url


def _split(url: str, right: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # An unpaired bracket.
        raise ImproperlyConfigured(f"{right} {ENCODE}.") from None


def _misread(parts: SplitResult) -> bool:
    """Return whether an unencoded character of the password has ended the part of the URL that holds the host."""
    behind_the_host = parts.path + parts.fragment + ("" if parts.username else parts.query)
    return "@" in behind_the_host or bool(parts.fragment) or parts.netloc.count("@") > 1


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False
