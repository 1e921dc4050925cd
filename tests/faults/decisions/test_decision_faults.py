"""Whatever fails while bars arrive: no stale decision is answered with 200, and no decision is missing or doubled."""

import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import psutil
import pytest

from tests import databases
from tests.databases import SERVER
from tests.faults.decisions.deciding import BARS_OF_A_FAULT, LIMITS, Deciding
from tests.faults.system import System
from tests.faults.test_postgres_faults import server

__all__ = ["server"]
needs_sqlite = pytest.mark.skipif(bool(SERVER), reason="needs SQLite")
needs_postgresql = pytest.mark.skipif(not SERVER, reason="needs PostgreSQL")
long = pytest.mark.long


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path, prepared) -> Iterator[str]:
    """Return the URL of a PostgreSQL of this case alone, which it may stop, or "" for SQLite."""
    if SERVER:
        url = request.getfixturevalue("server").get_uri()
        System(tmp_path, url, prepared=prepared).migrate()
        yield url
    else:
        databases.copy_template(tmp_path)
        yield ""


@pytest.fixture
def system(tmp_path, database_url, prepared, limits) -> Iterator[System]:
    with System(tmp_path, database_url, prepared=prepared, limits=limits | LIMITS).running() as system:
        yield system


@pytest.fixture
def deciding(request: pytest.FixtureRequest, system) -> Deciding:
    found = Deciding(system, request.getfixturevalue("server") if SERVER else None)
    found.start()
    return found


def killed(name: str) -> Any:
    @contextmanager
    def fault(deciding: Deciding) -> Iterator[None]:
        deciding.kill(name)
        yield
        deciding.launch(name)

    return fault


def stopped(name: str) -> Any:
    @contextmanager
    def fault(deciding: Deciding) -> Iterator[None]:
        deciding.system.send_signal(name, signal.SIGSTOP)
        yield
        deciding.system.send_signal(name, signal.SIGCONT)

    return fault


def clock_off(hours: int) -> Any:
    @contextmanager
    def fault(deciding: Deciding) -> Iterator[None]:
        deciding.system.set_clock(timedelta(hours=hours))
        yield
        deciding.system.set_clock(timedelta(0))

    return fault


@contextmanager
def redis_down(deciding: Deciding) -> Iterator[None]:
    deciding.system.redis.kill()
    yield
    deciding.system.redis.start()


@contextmanager
def redis_emptied(deciding: Deciding) -> Iterator[None]:
    deciding.system.redis.restart(keeping=0)
    yield


@contextmanager
def redis_stopped(deciding: Deciding) -> Iterator[None]:
    redis: Any = deciding.system.redis.process
    redis.send_signal(signal.SIGSTOP)
    yield
    redis.send_signal(signal.SIGCONT)


@contextmanager
def disk_full(deciding: Deciding) -> Iterator[None]:
    """Make each write of the deciding process to a file fail, even to its log."""
    pid = deciding.system.processes["decide"].pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def write_lock_held(deciding: Deciding) -> Iterator[None]:
    with closing(sqlite3.connect(deciding.system.folder / "db.sqlite3", timeout=20, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def database_down(deciding: Deciding) -> Iterator[None]:
    deciding.server.stop()
    yield
    deciding.server.start()


@contextmanager
def database_stopped(deciding: Deciding) -> Iterator[None]:
    postmaster = psutil.Process(deciding.server.get_pid())
    postmaster.suspend()
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        process.suspend()
    yield
    for process in processes:
        process.resume()


def measure(deciding: Deciding, recovery: Any) -> None:
    recovery.begins()
    deciding.wait_for_answers(1)
    recovery.ends()
    deciding.check()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(killed("decide"), id="decide killed"),
        pytest.param(stopped("decide"), id="decide stopped", marks=long),
        pytest.param(clock_off(1), id="clock an hour ahead", marks=long),
        pytest.param(clock_off(-1), id="clock an hour behind", marks=long),
        pytest.param(disk_full, id="disk full", marks=[needs_sqlite, long]),
        pytest.param(write_lock_held, id="write lock held", marks=[needs_sqlite, long]),
        pytest.param(database_down, id="PostgreSQL down", marks=[needs_postgresql, long]),
        pytest.param(database_stopped, id="PostgreSQL stopped", marks=[needs_postgresql, long]),
    ],
)
def test_decision_that_is_too_old_is_refused(deciding, recovery, fault):
    with fault(deciding):
        deciding.wait_for_refusals()
    measure(deciding, recovery)


@pytest.mark.long
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(killed("beat"), id="beat killed"),
        pytest.param(stopped("beat"), id="beat stopped"),
        pytest.param(killed("worker"), id="worker killed"),
        pytest.param(stopped("worker"), id="worker stopped"),
        pytest.param(redis_down, id="Redis down"),
        pytest.param(redis_emptied, id="Redis restarted empty"),
        pytest.param(redis_stopped, id="Redis stopped"),
    ],
)
def test_decisions_continue_without_services_that_they_do_not_need(deciding, recovery, fault):
    with fault(deciding):
        deciding.wait_for_answers(BARS_OF_A_FAULT)
    measure(deciding, recovery)


@pytest.mark.long
def test_promotion_while_decide_is_down_invalidates_older_decisions(deciding, recovery):
    deciding.kill("decide")
    deciding.system.manage("policy_promote", "rl_v3", "2", "--reason", "It is newer.")
    deciding.clients.versions.clear()
    deciding.launch("decide")
    recovery.begins()
    deciding.wait_for_answers(BARS_OF_A_FAULT)
    recovery.ends()
    assert deciding.clients.versions == {2}
    deciding.check()
