"""DATABASE_URL and REDIS_URL: URLs that clients would misread are refused by the setting's name, without password."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from kombu.connection import Connection

from quantum_trader.environment.server_urls import (
    checked_redis_url,
    database_config,
    refuse_unencoded_passwords,
)

SQLITE = Path("/state/db.sqlite3")
BASE = Path("/base")


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
        "redis://my host",
        "redis://h,h2",
        "redis://h;6379",
        "REDIS://h",
        "unix://",
    ],
)
def test_redis_url_that_would_be_misread_is_refused(url):
    with pytest.raises(
        ImproperlyConfigured, match="^REDIS_URL is not a Redis.*redis://:password@.*/ as %2F"
    ) as refused:
        checked_redis_url(url)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["redis://host:6379/0?foo=1", "redis://host?protocol=9", "rediss://host?ssl_cert_reqs=bogus"]
)
def test_unknown_option_of_redis_is_refused(url):
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL is not .* options after [?] are unknown"):
        checked_redis_url(url)


@pytest.mark.parametrize("url", ["redis://host:6379?db=3", "rediss://host:6380/0?socket_timeout=2"])
def test_option_that_celery_does_not_accept_is_refused(url):
    with pytest.raises(TypeError):
        Connection(url)
    with pytest.raises(ImproperlyConfigured, match="options after [?] may only be those of TLS"):
        checked_redis_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://:p%23s%2Fw%401@host:6379/2",
        "redis://user:$p:w@[::1]:6379",
        "rediss://host:6380/0?ssl_ca_certs=/etc/ca.pem",
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
        "postgres://u:pw@my host/name",
        "postgres://u:pw@one,two;5433/name",
        "$UNSET",
    ],
)
def test_database_url_that_would_be_misread_is_refused(url):
    message = "^DATABASE_URL is not a database.*postgres://user:password@host/name.*/ as %2F"
    with pytest.raises(ImproperlyConfigured, match=message) as refused:
        database_config(url, SQLITE, BASE)
    assert "pw" not in str(refused.value)


def test_encoded_password_reaches_the_database():
    config = database_config("postgres://u:p%2Fw%40%23%3F%25@host:5432/name", SQLITE, BASE)
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
    config = database_config(url, SQLITE, BASE)
    assert (config["ENGINE"], config["HOST"]) == ("django.db.backends.postgresql", host)


def test_database_without_url_is_a_file_of_the_state_directory():
    assert database_config("", SQLITE, BASE) == {"ENGINE": "django.db.backends.sqlite3", "NAME": SQLITE}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("conn_max_age=abc", "conn_max_age must be a whole number"),
        ("conn_health_checks=false", "conn_health_checks must be True or False"),
        ("connect_timeout=abc", "connect_timeout must be a whole number"),
        ("sslmode=bogus", "sslmode must be one of disable, allow"),
        ("sslmode=", "sslmode has no value"),
        ("foo=1", "there is no option foo"),
        ("sslmode=require&sslmode=disable", "option after \\? occurs twice"),
    ],
)
def test_option_that_postgresql_does_not_take_is_refused(option, message):
    with pytest.raises(ImproperlyConfigured, match=f"^DATABASE_URL is not .*{message}"):
        database_config(f"postgres://u:p@host/name?{option}", SQLITE, BASE)


def test_options_of_postgresql_are_taken():
    config = database_config("postgres://h/name?conn_max_age=60&sslmode=require&connect_timeout=3", SQLITE, BASE)
    assert (config["CONN_MAX_AGE"], config["OPTIONS"]) == (60, {"sslmode": "require", "connect_timeout": 3})


@pytest.mark.parametrize(
    ("path", "file"),
    [("/data/a%20b.db", "/data/a b.db"), ("~/a.db", f"{Path.home()}/a.db"), ("a.db", "/base/a.db")],
)
def test_sqlite_file_is_the_one_that_the_path_names(path, file):
    config = database_config(f"sqlite:///{path}", SQLITE, BASE)
    assert config == {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(file)}


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite://x.db",
        "sqlite:x.db",
        "sqlite:/x.db",
        "sqlite://:memory:",
        "sqlite:///:memory:",
        "sqlite:///%20",
        "sqlite:////a.db?mode=memory",
        "sqlite:////a+b.db",
        "sqlite:////a#b.db",
        "sqlite:///$HOME/a.db",
        "sqlite:///~no-such-user/a.db",
        "sqlite:////tmp",
    ],
)
def test_url_of_another_sqlite_file_or_of_memory_is_refused(url):
    with pytest.raises(ImproperlyConfigured, match="^DATABASE_URL is not .* as sqlite:////absolute/path"):
        database_config(url, SQLITE, BASE)


@pytest.mark.parametrize(
    ("name", "setting", "url"),
    [
        ("POSTGRES_PASSWORD", "DATABASE_URL", "postgres://quantum:{}@postgres:5432/quantum"),
        ("REDIS_PASSWORD", "REDIS_URL", "redis://:{}@redis:6379/0"),
    ],
)
def test_password_that_docker_compose_would_change_is_refused_by_name(name, setting, url, monkeypatch):
    monkeypatch.setenv(name, "a%41/b")
    monkeypatch.setenv(setting, url.format("of another server"))
    refuse_unencoded_passwords()
    monkeypatch.setenv(setting, url.format("a%41/b"))
    with pytest.raises(
        ImproperlyConfigured, match=f"^{name} contains .* into {setting} as it is: use letters"
    ) as error:
        refuse_unencoded_passwords()
    assert "a%41" not in str(error.value)
