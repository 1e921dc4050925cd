import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import databases
from tests.databases import SERVER
from tests.faults.recovery import MEASURED, Recovery, name_of, table
from tests.faults.system import SHORT_LIMITS, System
from tests.prepared import PreparedPython

# pytest shows the values of a failed assertion only in modules that it has rewritten.
pytest.register_assert_rewrite("tests.faults.outcome", "tests.faults.decisions.deciding")

FAILED = pytest.StashKey[bool]()
LOGGED_LINES = 15  # of each process, shown when a case fails


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--repetitions", type=int, default=1, help="how often a case with a random time is repeated")
    parser.addoption("--storm-minutes", type=float, default=0.5, help="duration of the random faults")
    parser.addoption(
        "--real-limits",
        action="store_true",
        help="keep production's time limits, and start a new interpreter each time",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("faults")
            item.add_marker("system")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "chance" in metafunc.fixturenames:
        numbers = range(metafunc.config.getoption("repetitions", 1))
        metafunc.parametrize("chance", [random.Random(number) for number in numbers], ids=[str(n) for n in numbers])


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if call.when == "call":
        item.stash[FAILED] = call.excinfo is not None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if lines := table(report for reports in terminalreporter.stats.values() for report in reports):
        terminalreporter.section("faults, on PostgreSQL" if SERVER else "faults, on SQLite")
        terminalreporter.write_line(lines)


@pytest.fixture(scope="session")
def limits(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the time limits of the processes, as environment variables."""
    return {} if request.config.getoption("real_limits", False) else SHORT_LIMITS


@pytest.fixture
def database_url(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a migrated PostgreSQL database, or "" for the migrated SQLite database in `tmp_path`."""
    with databases.migrated(tmp_path, f"faults_{os.getpid()}_{abs(hash(tmp_path))}") as url:
        yield url


@pytest.fixture
def system(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database_url: str,
    prepared: PreparedPython | None,
    limits: dict[str, str],
) -> Iterator[System]:
    if request.node.get_closest_marker("no_worker_lost"):
        # On a busy machine, a stopped process or a database that is locked delays heartbeats past the short limit.
        limits = {name: value for name, value in limits.items() if name != "RUN_LOST_AFTER_SECONDS"}
    with System(tmp_path, database_url, prepared=prepared, limits=limits).running() as system:
        yield system
        if request.node.stash.get(FAILED, True):
            for path in sorted(tmp_path.glob("*.log")):
                request.node.add_report_section("teardown", path.name, last_lines(path))


def last_lines(log: Path) -> str:
    """Return the last lines of a process's log but for finished episodes. pytest shows them with a failed case."""
    lines = [line for line in log.read_text().splitlines() if "Episode complete" not in line]
    return "\n".join(lines[-LOGGED_LINES:])


@pytest.fixture
def recovery(request: pytest.FixtureRequest, system: System) -> Iterator[Recovery]:
    """Record the case's recovery times, and the lost and doubled events and runs at its end, for the table."""
    recovery = Recovery()
    yield recovery
    measured = {
        "fault": name_of(request.node),
        "failed": int(request.node.stash.get(FAILED, True)),
        "lost": len(system.lost()),
        "doubled": len(system.doubled()),
        "seconds": recovery.seconds,
    }
    request.node.user_properties.append((MEASURED, measured))
