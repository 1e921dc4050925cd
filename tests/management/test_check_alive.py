import pytest
import redis
from django.core.management import CommandError, call_command

from rl_training.presence import heartbeats
from rl_training.presence.heartbeats import key, name_of


def test_a_worker_that_gave_a_sign_is_alive(streams):
    heartbeats.record_worker()
    call_command("check_alive", "worker")
    with pytest.raises(CommandError, match="No sign of life of a beat on .* within 15 s: there was none"):
        call_command("check_alive", "beat")


def test_a_worker_that_is_silent_for_a_minute_is_not(streams):
    streams.zadd(key("worker"), {name_of(1): streams.time()[0] - 65})
    with pytest.raises(CommandError, match=r"within 60 s: the last was 6\d s ago"):
        call_command("check_alive", "worker")


def test_the_sign_of_another_machine_is_not_this_ones(streams):
    streams.zadd(key("worker"), {"elsewhere:1": streams.time()[0]})
    with pytest.raises(CommandError, match="No sign of life"):
        call_command("check_alive", "worker")


def test_without_redis_it_fails_and_says_so(monkeypatch):
    away = redis.Redis.from_url("unix:///nonexistent/redis.sock")
    monkeypatch.setattr(heartbeats, "client", lambda: away)
    with pytest.raises(CommandError, match="Redis, which keeps the signs of life, does not answer"):
        call_command("check_alive", "beat")
