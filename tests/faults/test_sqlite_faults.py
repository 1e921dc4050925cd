"""SQLite has one writer at a time: the others wait for the lock, and no run fails because of the wait."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from tests.databases import SERVER
from tests.faults.outcome import check_runs_end_undisturbed, child_of, logged
from tests.faults.system import RECOVERY_SECONDS, ROOT, System
from tests.waiting import wait_for

pytestmark = [pytest.mark.skipif(bool(SERVER), reason="needs SQLite"), pytest.mark.no_worker_lost]

LOCKED = "database is locked"
# The transaction reads before it writes, as most do: without the write lock from its start it would fail at once. The
# pause is a quarter of the time between two writes of a run: SQLite keeps no queue of writers, so without a pause some
# would wait forever.
WRITER = """
import pathlib, sys, time
import django; django.setup()
from django.db import transaction
from rl_training.models import PolicyStore
written = 0
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.25)
    with transaction.atomic():
        policy = PolicyStore.objects.get(name="rl_v3")
        policy.run_limit_minutes = policy.run_limit_minutes + 1
        policy.save(update_fields=["run_limit_minutes"])
    written += 1
print(written)
"""


def check_no_process_logged_a_lock(system: System) -> None:
    assert not logged(system, "worker", LOCKED)
    assert not logged(system, "beat", LOCKED)


@pytest.mark.parametrize("seconds", [3, pytest.param(10, marks=pytest.mark.long)])
def test_write_lock_held_for_seconds_delays_runs_only(system, recovery, seconds):
    system.launch_until("iteration:150:SIGSTOP", policies=3)
    with closing(sqlite3.connect(system.folder / "db.sqlite3", timeout=20, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        free_at = time.monotonic() + seconds
        os.kill(child_of(system, "worker"), signal.SIGCONT)
        wait_for(lambda: time.monotonic() >= free_at, "the time to pass")
        recovery.begins()
        other.execute("ROLLBACK")
    wait_for(lambda: all(run["started_at"] for run in system.runs()), "all runs to start", RECOVERY_SECONDS)
    recovery.ends()
    check_runs_end_undisturbed(system, [1, 1, 1])
    check_no_process_logged_a_lock(system)


@pytest.mark.long
def test_eight_concurrent_writers_delay_runs_only(system, recovery):
    before, enough = run_limit(system), system.folder / "enough"
    command = [sys.executable, "-c", WRITER, str(enough)]
    writers = [
        subprocess.Popen(command, cwd=ROOT, env=system.environment, stdout=subprocess.PIPE, start_new_session=True)
        for _ in range(8)
    ]
    system.processes |= {f"writer{number}": writer for number, writer in enumerate(writers)}
    wait_for(lambda: run_limit(system) > before, "the first writer to write", RECOVERY_SECONDS)
    recovery.begins()
    system.schedule(policies=3)
    for kind in ("worker", "beat"):
        system.launch(kind)
    system.wait_for_runs(1)
    recovery.ends()
    check_runs_end_undisturbed(system, [1, 1, 1])
    enough.touch()
    written = sum(int(writer.communicate(timeout=60)[0]) for writer in writers)
    assert run_limit(system) - before == written
    check_no_process_logged_a_lock(system)


def run_limit(system: System) -> int:
    [policy] = system.query("SELECT run_limit_minutes FROM rl_training_policystore WHERE name = 'rl_v3'")
    return int(policy["run_limit_minutes"])
