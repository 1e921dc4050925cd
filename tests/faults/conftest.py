import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from tests.faults.recovery import MEASURED, Recovery, name_of, table
from tests.faults.system import System

# Shared assertions: pytest shows the values of what fails.
pytest.register_assert_rewrite("tests.faults.outcome")

SERVER = os.environ.get("TEST_DATABASE_URL", "")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--repetitions", type=int, default=1, help="of the cases with a random moment")
    parser.addoption("--storm-minutes", type=float, default=0.5, help="of random faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("faults")


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


FAILED = pytest.StashKey[bool]()


@contextmanager
def database(name: str, template: str = "") -> Iterator[str]:
    """The address of a new database on the PostgreSQL that TEST_DATABASE_URL names, a copy of another or empty."""
    made = sql.SQL("CREATE DATABASE {}" + (" TEMPLATE {}" if template else ""))
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(made.format(*(sql.Identifier(given) for given in (name, template) if given)))
        yield urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a migrated SQLite database, or of one's making on PostgreSQL: migrating takes seconds."""
    folder = tmp_path_factory.mktemp("migrated")
    if not SERVER:
        System(folder).migrate()
        yield folder
        return
    with database(f"migrated_{os.getpid()}") as address:
        System(folder, address).migrate()
        yield folder


@pytest.fixture
def database_url(tmp_path: Path, migrated: Path) -> Iterator[str]:
    """A migrated database of PostgreSQL, or none: SQLite's is in `tmp_path`."""
    if not SERVER:
        shutil.copy(migrated / "db.sqlite3", tmp_path)
        yield ""
        return
    with database(f"faults_{os.getpid()}_{abs(hash(tmp_path))}", f"migrated_{os.getpid()}") as address:
        yield address


@pytest.fixture
def system(tmp_path: Path, database_url: str) -> Iterator[System]:
    system = System(tmp_path, database_url)
    try:
        system.redis.start()
        yield system
    finally:
        system.stop()


@pytest.fixture
def recovery(request: pytest.FixtureRequest, system: System) -> Iterator[Recovery]:
    """What the case measures goes into the table, with what was lost and doubled by the time it ended."""
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
