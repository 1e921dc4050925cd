"""DATABASE_URL and REDIS_URL: what clients would misread is refused with the setting's name, without the password."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from quantum_trader.environment.server_urls import checked_redis_url, database_config

SQLITE = Path("/state/db.sqlite3")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p#s/w@1@host",
        "redis://:pw/1@host",
        "redis://:pw?1@host",
        "redis://:pw@1@host",
        "redis://:pw[1@host",
        "127.0.0.1:6390",
        "localhost:6390",
        "localhost",
        "$UNSET",
        "http://host:6379",
        "redis://host:port",
        "redis://host/first",
        "redis:///0",
        "unix://",
    ],
)
def test_redis_url_that_would_be_misread_is_refused(url):
    with pytest.raises(
        ImproperlyConfigured, match="^REDIS_URL is not a Redis.*redis://:password@.*/ as %2F"
    ) as refused:
        checked_redis_url(url)
    assert "pw" not in str(refused.value)


def test_unknown_option_of_redis_is_refused():
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL is not .* options after [?] are unknown"):
        checked_redis_url("redis://host:6379/0?foo=1")


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://:p%23s%2Fw%401@host:6379/2",
        "redis://user:$p:w@[::1]:6379",
        "rediss://host:6380/0?socket_timeout=2",
        "unix:///run/redis.sock",
        "unix://:secret@/run/redis.sock?db=2",
    ],
)
def test_other_redis_url_is_taken(url):
    assert checked_redis_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:pw/1@host/name",
        "postgres://u:pw?1@host/name",
        "postgres://u:pw#1@host/name",
        "postgres://u:pw@1@host/name",
        "postgres://u:pw[1@host/name",
        "postgres://u:pw@host:port/name",
        "postgres://u:pw@host:5432",
        "mysql://u:pw@host/name",
        "host:5432/name",
        "$UNSET",
    ],
)
def test_database_url_that_would_be_misread_is_refused(url):
    message = "^DATABASE_URL is not a database.*postgres://user:password@host/name.*/ as %2F"
    with pytest.raises(ImproperlyConfigured, match=message) as refused:
        database_config(url, SQLITE)
    assert "pw" not in str(refused.value)


def test_encoded_password_reaches_the_database():
    config = database_config("postgres://u:p%2Fw%40%23%3F%25@host:5432/name", SQLITE)
    assert [config[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")] == [
        "u",
        "p/w@#?%",
        "host",
        5432,
        "name",
    ]


@pytest.mark.parametrize(
    ("url", "host"),
    [("postgresql://postgres:@/postgres?host=/tmp/x", ""), ("postgres://u:p@one:5432,two:5433/name", "one,two")],
)
def test_sockets_and_several_hosts_are_taken(url, host):
    config = database_config(url, SQLITE)
    assert (config["ENGINE"], config["HOST"]) == ("django.db.backends.postgresql", host)


def test_database_without_url_is_a_file_of_the_state_directory():
    assert database_config("", SQLITE) == {"ENGINE": "django.db.backends.sqlite3", "NAME": SQLITE}
