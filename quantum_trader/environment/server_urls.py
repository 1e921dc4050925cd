"""DATABASE_URL and REDIS_URL: checked before a client reads them, because clients misread a URL without an error.

Messages do not show the URLs, which contain passwords.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import environ
import redis
from django.core.exceptions import ImproperlyConfigured

from quantum_trader.environment import values
from quantum_trader.environment.database_options import wrong_option

POSTGRESQL = ("postgres", "postgresql", "psql", "pgsql")
ENCODE = (
    "In user name and password, write each of these characters as shown: / as %2F, # as %23, ? as %3F, @ as %40, "
    ": as %3A, [ as %5B, ] as %5D and % as %25"
)
SERVER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\]")
NOT_IN_A_URL = re.compile(r"[/#?@%\[\]\s]")
PORT = re.compile(r"(?::[0-9]*)?")


def database_config(url: str, default: Path, base: Path) -> dict[str, Any]:
    """Return Django's settings of the database at the URL; without a URL, those of an SQLite file at `default`.

    Raises `ImproperlyConfigured` for a URL that names no database, whose password hides the host, or with options that
    the database does not take. A relative path of an SQLite file starts in `base`.
    """
    if not url:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": default}
    if url.lower().startswith("sqlite:"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": _sqlite_file(url, base)}
    right = "DATABASE_URL is not a database's URL, such as postgres://user:password@host/name."
    parts = _split(url, right)
    if parts.scheme not in POSTGRESQL or not parts.path.strip("/") or _misread(parts):
        raise ImproperlyConfigured(f"{right} {ENCODE}.")
    servers = parts.netloc.rpartition("@")[2].split(",")
    if servers != [""] and not (all(map(_is_server, servers)) and (len(servers) > 1 or _has_valid_port(parts))):
        raise ImproperlyConfigured(f"{right} {ENCODE}.")
    options = parse_qsl(parts.query, keep_blank_values=True)
    if len(dict(options)) < len(options):
        raise ImproperlyConfigured(f"{right} An option after ? occurs twice.")
    config: dict[str, Any] = environ.Env.db_url_config(url)
    if wrong := wrong_option(dict(options), config):
        raise ImproperlyConfigured(f"{right} PostgreSQL does not accept an option after ?: {wrong}.")
    return config


def checked_redis_url(url: str) -> str:
    """Return the URL. Raises `ImproperlyConfigured` unless it names a Redis: its host or socket, and its database."""
    right = (
        "REDIS_URL is not a Redis server's URL, such as redis://:password@host:6379/0 or unix:///path/to/redis.sock."
    )
    parts = _split(url, right)
    if parts.scheme == "unix":
        valid = len(parts.path) > 1 and not parts.hostname
    else:
        database = parts.path.removeprefix("/")
        valid = parts.scheme in ("redis", "rediss") and _is_server(parts.netloc.rpartition("@")[2])
        valid = valid and (not database or database.isdecimal())
    # Clients know the scheme in small letters only.
    if not (valid and url.startswith(f"{parts.scheme}://")) or _misread(parts) or not _has_valid_port(parts):
        raise ImproperlyConfigured(f"{right} {ENCODE}.")
    try:
        pool = redis.ConnectionPool.from_url(url)
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError):
        raise ImproperlyConfigured(f"{right} Its options after ? are unknown or have wrong values.") from None
    # Celery ends with a TypeError at any other option. A socket's options are not in Celery's URL (broker_url()).
    if parts.scheme != "unix" and not all(name.startswith("ssl_") for name, _ in parse_qsl(parts.query)):
        raise ImproperlyConfigured(
            f"{right} The options after ? may only be those of TLS, such as ssl_ca_certs. The number of the database "
            "stands behind the host."
        )
    return url


def refuse_unencoded_passwords() -> None:
    """Raise `ImproperlyConfigured` for a password of docker-compose.yml that its URL would cut or change."""
    for name, url in (("POSTGRES_PASSWORD", "DATABASE_URL"), ("REDIS_PASSWORD", "REDIS_URL")):
        password = values.text(name)
        if NOT_IN_A_URL.search(password) and f":{password}@" in values.text(url):
            raise ImproperlyConfigured(
                f"{name} contains / # ? @ % [ ] or a space, and docker-compose.yml writes it into {url} as it is: use "
                "letters, digits, - and _ only."
            )


def _sqlite_file(url: str, base: Path) -> Path:
    right = (
        "DATABASE_URL is not the URL of an SQLite file, such as sqlite:////absolute/path, with four slashes and no "
        "options. In the path, write # as %23, ? as %3F, + as %2B and % as %25."
    )
    parts = _split(url, right)
    name = unquote(parts.path.removeprefix("/"))
    if parts.netloc or re.search("[?#+]", url) or not url.lower().startswith("sqlite:///"):
        raise ImproperlyConfigured(right)
    if not name.strip() or name.startswith((":memory:", "file:")):
        raise ImproperlyConfigured(f"{right} With a database in memory, each process would have its own.")
    if (path := values.full_path(name, base)) is None or path.is_dir():
        raise ImproperlyConfigured(f"{right} Variables such as $HOME are not replaced; ~ is the home folder.")
    return path


def _split(url: str, right: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # An unpaired bracket.
        raise ImproperlyConfigured(f"{right} {ENCODE}.") from None


def _is_server(written: str) -> bool:
    """Return whether the text is one host, with or without a port."""
    host = SERVER.match(written)
    return host is not None and PORT.fullmatch(written[host.end() :]) is not None


def _misread(parts: SplitResult) -> bool:
    """Return whether an unencoded character of the password has ended the part of the URL that holds the host."""
    behind_the_host = parts.path + parts.fragment + ("" if parts.username else parts.query)
    return "@" in behind_the_host or bool(parts.fragment) or parts.netloc.count("@") > 1


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False
