"""Tests of `/healthz` and `/readyz`."""

import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from dashboard.monitoring import readiness
from quantum_trader.health import answers
from rl_training.models import PolicyStore, TrainingEvent, TrainingRun
from rl_training.presence import heartbeats
from rl_training.presence.heartbeats import key
from rl_training.runs import lifecycle
from rl_training.streams import relay
from tests.stalled import listener

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beat_and_worker(streams: redis.Redis) -> None:
    heartbeats.record("beat")
    heartbeats.record("worker")


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "client", lambda: redis.Redis.from_url("unix:///nonexistent/redis.sock"))


@pytest.fixture
def no_database(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every new database connection, of any thread, go to a PostgreSQL server that does not exist."""
    use_database(monkeypatch, "/nonexistent")


def use_database(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """Make new connections go to the PostgreSQL socket in `folder`."""
    settings = connections.databases["default"] | {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "quantum",
        "HOST": folder,
        "PORT": "5432",
        "OPTIONS": {"connect_timeout": 5},
    }
    monkeypatch.setitem(connections.databases, "default", settings)


def ready(client: Client) -> dict[str, Any]:
    """Return the content of /readyz after asserting that it agrees with the status."""
    response = client.get("/readyz")
    body: dict[str, Any] = response.json()
    assert response.status_code == (200 if body["ready"] else 503)
    assert "no-store" in response["Cache-Control"]
    return body


def states(body: dict[str, Any]) -> dict[str, str]:
    return {name: body[name]["state"] for name in ("database", "redis", "beat", "worker")}


ALL_OK = {"database": "ok", "redis": "ok", "beat": "ok", "worker": "ok"}


def test_healthz_needs_no_database_redis_or_login(client, no_redis):
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert "no-store" in response["Cache-Control"]
    assert "Cookie" not in response.get("Vary", "")


def test_system_is_ready_when_all_parts_work(client, beat_and_worker):
    body = ready(client)
    assert states(body) == ALL_OK
    assert body["ready"] is True
    assert 0 <= body["beat"]["seconds_ago"] < 10
    assert body["oldest_queued_seconds"] is None
    assert body["outbox_lag"] == {"events": 0, "oldest_seconds": None}


@pytest.mark.parametrize(("kind", "limit"), [("beat", 15), ("worker", 60)])
def test_silent_process_is_named(kind, limit, client, streams, beat_and_worker):
    now = streams.time()[0]
    streams.delete(key(kind))
    assert states(ready(client)) == ALL_OK | {kind: "silent"}
    streams.zadd(key(kind), {"other:1": now - limit - 5})
    body = ready(client)
    assert states(body) == ALL_OK | {kind: "silent"}
    assert limit < body[kind]["seconds_ago"] < limit + 30
    streams.zadd(key(kind), {"other:2": now})
    assert states(ready(client)) == ALL_OK


def test_without_redis_the_processes_are_unknown(client, no_redis):
    assert states(ready(client)) == {"database": "ok", "redis": "away", "beat": "unknown", "worker": "unknown"}


def test_without_database_the_other_states_are_reported(client, beat_and_worker, no_database):
    body = ready(client)
    assert states(body) == ALL_OK | {"database": "away"}
    assert (body["oldest_queued_seconds"], body["outbox_lag"]) == (None, None)


def test_backlog_is_reported_and_does_not_affect_readiness(client, policy, beat_and_worker, monkeypatch):
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False)
    with monkeypatch.context() as patch:
        patch.setattr(relay, "relay", lambda event: False)
        lifecycle.claim(run.run_id)
    second = PolicyStore.objects.create(name="second")
    waiting = lifecycle.enqueue(second, TrainingRun.Trigger.COMMAND, send_message=False)
    ago = timezone.now() - timedelta(seconds=100)
    TrainingRun.objects.filter(pk=waiting.pk).update(queued_at=ago)
    TrainingEvent.objects.update(timestamp=ago, published_at=None)
    body = ready(client)
    assert body["ready"] is True
    assert 100 <= body["oldest_queued_seconds"] < 130
    assert body["outbox_lag"]["events"] == 1
    assert 100 <= body["outbox_lag"]["oldest_seconds"] < 130


@pytest.mark.system
def test_stalled_servers_cost_seconds_and_one_connection_each(client, tmp_path, monkeypatch, beat_and_worker):
    folder = Path("/tmp") / f"{tmp_path.name}-{os.getpid()}"  # the path of a socket is limited to about 100 bytes
    with listener(folder / "redis.sock"), listener(folder / ".s.PGSQL.5432") as database:
        use_database(monkeypatch, str(folder))
        stalled = redis.Redis.from_url(f"unix://{folder}/redis.sock", socket_timeout=heartbeats.TIMEOUT_SECONDS)
        monkeypatch.setattr(heartbeats, "client", lambda: stalled)
        started = time.monotonic()
        bodies = [ready(client), ready(client)]
        assert time.monotonic() - started < 10
        expected = {"database": "away", "redis": "away", "beat": "unknown", "worker": "unknown"}
        assert [states(body) for body in bodies] == [expected, expected]
        threads = [thread.name for thread in threading.enumerate()]
        assert threads.count("database") <= 1
        assert threads.count("redis") <= 1
        assert database.accepted() <= 2
        for inquiry in (readiness.DATABASE, readiness.REDIS):
            inquiry.begin().result(20)


def test_error_messages_are_logged_and_not_returned(client, no_redis, no_database, caplog):
    body = client.get("/readyz").content.decode()
    assert "nonexistent" not in body
    assert "nonexistent" in caplog.text


def test_health_check_requires_status_200(live_server):
    assert answers(f"{live_server.url}/healthz")
    assert not answers(f"{live_server.url}/nothing-here")
    assert not answers("http://127.0.0.1:1/healthz")
    connection.close()
