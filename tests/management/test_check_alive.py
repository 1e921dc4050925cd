import pytest
import redis
from django.core.management import CommandError, call_command

from rl_training.presence import heartbeats
from rl_training.presence.heartbeats import key, name_of


def test_worker_with_recent_heartbeat_is_alive(streams):
    heartbeats.record_worker()
    call_command("check_alive", "worker")
    with pytest.raises(CommandError, match="No heartbeat of a beat on .* within 15 s: there was none"):
        call_command("check_alive", "beat")


def test_worker_silent_for_a_minute_is_not_alive(streams):
    streams.zadd(key("worker"), {name_of(1): streams.time()[0] - 65})
    with pytest.raises(CommandError, match=r"within 60 s: the last was 6\d s ago"):
        call_command("check_alive", "worker")


def test_heartbeat_of_other_machine_does_not_count(streams):
    streams.zadd(key("worker"), {"elsewhere:1": streams.time()[0]})
    with pytest.raises(CommandError, match="No heartbeat"):
        call_command("check_alive", "worker")


def test_without_redis_check_fails_naming_redis(monkeypatch):
    away = redis.Redis.from_url("unix:///nonexistent/redis.sock")
    monkeypatch.setattr(heartbeats, "client", lambda: away)
    with pytest.raises(CommandError, match="Redis, which keeps the heartbeats, does not answer"):
        call_command("check_alive", "beat")
