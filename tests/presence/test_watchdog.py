"""The watchdog with real processes, a real Redis and short limits."""

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import redis

from quantum_trader.processes import Service
from quantum_trader.running import supervisor as supervision
from quantum_trader.running.supervisor import Signals, Supervisor
from rl_training.presence import watchdog
from rl_training.presence.heartbeats import key, name_of
from rl_training.presence.watchdog import Watchdog
from tests.waiting import wait_for


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervision, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "CHECK_EVERY_SECONDS", 0.05)
    settings.HUNG_AFTER_SECONDS = {"beat": 0.5, "worker": 1000.0, "alerts": 1000.0, "decide": 1000.0}
    with Signals() as signals, Supervisor(os.environ, signals) as supervisor:
        hung = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        supervisor.start(*(Service(name, (sys.executable, "-c", hung)) for name in ("beat", "worker")))
        yield supervisor


def test_live_but_silent_process_is_killed_and_started_again(supervisor, streams, caplog):
    watch = Watchdog(supervisor)
    before = {name: supervisor.pid(name) for name in ("beat", "worker")}

    def other_beat() -> bool:
        watch.check()
        supervisor.watch(0.02)
        return supervisor.pid("beat") not in (None, before["beat"])

    wait_for(other_beat, "another beat")
    assert supervisor.pid("worker") == before["worker"]
    lines = [record.msg for record in caplog.records if "No heartbeat of a service" in record.msg["event"]]
    assert [line["service"] for line in lines] == ["beat"]


def test_only_its_own_heartbeat_keeps_a_process_alive(supervisor, streams, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: now))
    watch, pid = Watchdog(supervisor), supervisor.pid("beat")
    for _ in range(5):
        store_heartbeat(streams, name_of(pid))
        watch.check()
        now += 0.4
    assert supervisor.pid("beat") == pid
    streams.delete(key("beat"))
    for _ in range(3):
        store_heartbeat(streams, "elsewhere:1")
        watch.check()
        now += 0.4
    wait_for(lambda: supervisor.pid("beat") is None, "the end of the silent beat")


def store_heartbeat(streams: redis.Redis, name: str) -> None:
    seconds, microseconds = streams.time()
    streams.zadd(key("beat"), {name: seconds + microseconds / 1e6})


def test_process_is_not_killed_while_redis_is_away_or_just_came_back(supervisor, streams, monkeypatch, settings):
    now, pid = 1000.0, supervisor.pid("beat")
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: now))
    watch = Watchdog(supervisor)
    with_redis, settings.REDIS_URL = settings.REDIS_URL, "unix:///nonexistent/redis.sock"
    for _ in range(5):
        watch.check()
        now += 100.0
    watch.check()
    settings.REDIS_URL = with_redis
    now += 0.4
    watch.check()
    assert supervisor.pid("beat") == pid
