import multiprocessing
import os
import signal
from types import SimpleNamespace

import pytest

from rl_training.worker import pool
from tests.waiting import wait_for


def test_a_process_shows_each_moment_that_it_runs(settings):
    settings.POOL_HEARTBEAT_SECONDS = 0.01
    process = multiprocessing.get_context("fork").Process(target=pool.go_on_showing, args=[1])
    process.start()
    try:
        wait_for(lambda: pool._shown_by[1] == process.pid, "the first sign")
        first = pool._shown_at[1]
        wait_for(lambda: pool._shown_at[1] > first, "another sign")
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize(
    ("shown_at", "looked_at", "killed"),
    [
        pytest.param(1000, 1029, [(os.getpid(), signal.SIGKILL)], id="silent for half a minute"),
        pytest.param(1002, 1029, [], id="shown within half a minute"),
        pytest.param(1000, 1000, [], id="the worker itself was away"),
    ],
)
def test_the_worker_ends_a_process_that_was_silent_while_it_looked(monkeypatch, shown_at, looked_at, killed):
    found = []
    monkeypatch.setattr(pool.os, "kill", lambda *given: found.append(given))
    monkeypatch.setattr(pool.time, "monotonic", lambda: 1031.0)
    monkeypatch.setattr(pool.billiard, "active_children", lambda: [SimpleNamespace(index=0, pid=os.getpid())])
    monkeypatch.setattr(pool, "_looked_at", looked_at)
    pool._shown_by[0], pool._shown_at[0] = os.getpid(), shown_at
    pool.end_stuck()
    assert found == killed
