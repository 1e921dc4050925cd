import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import billiard
import pytest

from rl_training.worker import pool
from tests.waiting import wait_for


@pytest.mark.process
def test_process_of_the_pool_writes_heartbeats(settings):
    settings.POOL_HEARTBEAT_SECONDS = 0.01
    process = multiprocessing.get_context("fork").Process(target=pool.write_heartbeats, args=[1])
    process.start()
    try:
        wait_for(lambda: pool._heartbeat_pids[1] == process.pid, "the first heartbeat")
        first = pool._heartbeat_times[1]
        wait_for(lambda: pool._heartbeat_times[1] > first, "another heartbeat")
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize(
    ("heartbeat_at", "checked_at", "killed"),
    [
        pytest.param(1000, 1029, [(os.getpid(), signal.SIGKILL)], id="silent for more than 30 s"),
        pytest.param(1002, 1029, [], id="silent for less than 30 s"),
        pytest.param(1000, 1000, [], id="the worker itself was stopped"),
    ],
)
def test_worker_kills_a_process_that_was_silent_while_it_watched(monkeypatch, heartbeat_at, checked_at, killed):
    found = []
    monkeypatch.setattr(os, "kill", lambda *given: found.append(given))
    monkeypatch.setattr(time, "monotonic", lambda: 1031.0)
    monkeypatch.setattr(billiard, "active_children", lambda: [SimpleNamespace(index=0, pid=os.getpid())])
    monkeypatch.setattr(pool, "_last_check", checked_at)
    pool._heartbeat_pids[0], pool._heartbeat_times[0] = os.getpid(), heartbeat_at
    pool.kill_silent_processes()
    assert found == killed


@pytest.mark.parametrize(
    ("heartbeat_pids", "preparing"), [([0, 0], True), ([99, 99], True), ([10, 0], False), ([10, 11], False)]
)
def test_worker_prepares_until_one_process_has_a_heartbeat(monkeypatch, heartbeat_pids, preparing):
    children = [SimpleNamespace(index=index, pid=10 + index) for index in range(2)]
    monkeypatch.setattr(billiard, "active_children", lambda: children)
    pool._heartbeat_pids[:2] = heartbeat_pids
    assert pool.is_preparing() is preparing


def test_worker_without_processes_prepares_nothing(monkeypatch):
    monkeypatch.setattr(billiard, "active_children", list)
    assert not pool.is_preparing()
