import os

from rl_training import pool
from tests.waiting import wait_for


def test_a_process_that_has_a_run_shows_that_it_runs_whatever_else_it_waits_for(monkeypatch):
    monkeypatch.setattr(pool, "SHOWN_EVERY_SECONDS", 0.01)
    with pool.shown():
        first = pool._seen[0]
        wait_for(lambda: pool._seen[0] > first, "another sign")
        assert pool._busy[0] == os.getpid()
    assert pool._busy[0] == 0
