import os
import socket

import pytest
import redis

from rl_training.presence import heartbeats
from rl_training.presence.heartbeats import key, name_of

HERE = name_of(os.getpid())


def dated(streams: redis.Redis, name: str, seconds_ago: float) -> None:
    """A beat's sign as it would be there if it had been given that long ago."""
    seconds, microseconds = streams.time()
    streams.zadd(key("beat"), {name: seconds + microseconds / 1e6 - seconds_ago})


def test_a_sign_is_this_processs_and_of_now(streams):
    heartbeats.record("beat")
    [(name, age)] = heartbeats.ages("beat").items()
    assert name == f"{socket.gethostname()}:{os.getpid()}"
    assert 0 <= age < 5
    assert heartbeats.ages("worker") == {}


def test_each_process_has_one_sign_which_is_its_last(streams):
    dated(streams, "other:1", 7)
    dated(streams, HERE, 30)
    heartbeats.record("beat")
    ages = heartbeats.ages("beat")
    assert {name: round(age) for name, age in ages.items()} == {"other:1": 7, HERE: 0}


def test_what_was_silent_for_an_hour_is_forgotten(streams):
    dated(streams, "other:1", 3700)
    assert heartbeats.ages("beat") == {}
    heartbeats.record("beat")
    assert streams.zcard(key("beat")) == 1


def test_a_sign_dated_ahead_by_a_clock_that_was_set_back_counts_for_nothing(streams):
    dated(streams, "other:1", -3600)
    assert heartbeats.ages("beat") == {}
    heartbeats.record("beat")
    assert list(heartbeats.ages("beat")) == [HERE]
    assert streams.zcard(key("beat")) == 1


def test_signs_are_there_again_after_redis_was_emptied(streams):
    heartbeats.record("beat")
    streams.flushall()
    assert heartbeats.ages("beat") == {}
    heartbeats.record("beat")
    assert list(heartbeats.ages("beat")) == [HERE]


def test_without_redis_the_rounds_go_on_and_nobody_is_called_silent(monkeypatch):
    away = redis.Redis.from_url("unix:///nonexistent/redis.sock")
    monkeypatch.setattr(heartbeats, "client", lambda: away)
    heartbeats.record("beat")
    with pytest.raises(redis.RedisError):
        heartbeats.ages("beat")
