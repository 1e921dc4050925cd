import os
import socket

import pytest
import redis

from rl_training.presence import heartbeats
from rl_training.presence.heartbeats import key, name_of

HERE = name_of(os.getpid())


def store_heartbeat(streams: redis.Redis, name: str, seconds_ago: float) -> None:
    """Store the heartbeat of a beat as if it had been written the given time ago."""
    seconds, microseconds = streams.time()
    streams.zadd(key("beat"), {name: seconds + microseconds / 1e6 - seconds_ago})


def test_heartbeat_names_this_process_and_is_of_now(streams):
    heartbeats.record("beat")
    [(name, age)] = heartbeats.ages("beat").items()
    assert name == f"{socket.gethostname()}:{os.getpid()}"
    assert 0 <= age < 5
    assert heartbeats.ages("worker") == {}


def test_each_process_has_one_heartbeat_its_last(streams):
    store_heartbeat(streams, "other:1", 7)
    store_heartbeat(streams, HERE, 30)
    heartbeats.record("beat")
    ages = heartbeats.ages("beat")
    assert {name: round(age) for name, age in ages.items()} == {"other:1": 7, HERE: 0}


def test_heartbeat_older_than_an_hour_is_removed(streams):
    store_heartbeat(streams, "other:1", 3700)
    assert heartbeats.ages("beat") == {}
    heartbeats.record("beat")
    assert streams.zcard(key("beat")) == 1


def test_heartbeat_in_the_future_is_ignored_and_removed(streams):
    store_heartbeat(streams, "other:1", -3600)
    assert heartbeats.ages("beat") == {}
    heartbeats.record("beat")
    assert list(heartbeats.ages("beat")) == [HERE]
    assert streams.zcard(key("beat")) == 1


def test_heartbeats_return_after_redis_was_emptied(streams):
    heartbeats.record("beat")
    streams.flushall()
    assert heartbeats.ages("beat") == {}
    heartbeats.record("beat")
    assert list(heartbeats.ages("beat")) == [HERE]


def test_record_ignores_that_redis_is_away_and_ages_raises(settings):
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    heartbeats.record("beat")
    with pytest.raises(redis.RedisError):
        heartbeats.ages("beat")


def test_workers_are_preparing_until_one_of_them_has_prepared(streams):
    assert not heartbeats.workers_are_preparing()
    heartbeats.record("worker")
    assert not heartbeats.workers_are_preparing()
    heartbeats.record_preparing(True)
    assert heartbeats.workers_are_preparing()
    streams.zadd(key("worker"), {"other:1": streams.zscore(key("worker"), HERE)})
    assert not heartbeats.workers_are_preparing()
    streams.zrem(key("worker"), "other:1")
    assert heartbeats.workers_are_preparing()
    heartbeats.record_preparing(False)
    assert not heartbeats.workers_are_preparing()


def test_worker_that_died_while_preparing_is_not_shown(streams):
    seconds, _ = streams.time()
    for name in (key("worker"), heartbeats.PREPARING_KEY):
        streams.zadd(name, {"other:1": seconds - 11})
    assert not heartbeats.workers_are_preparing()


def test_preparation_is_unknown_without_redis(settings):
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    heartbeats.record_preparing(True)
    heartbeats.record_preparing(False)
    assert not heartbeats.workers_are_preparing()
