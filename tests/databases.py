"""Migrated databases for tests to copy: migrating takes seconds, a copy takes milliseconds.

The first process of a test run that needs the template makes it; the parallel workers share it.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests import shared_folder

# On PostgreSQL run all tests that need a database and all fault cases, except those below: they test HTTP, access,
# forms, templates, commands, streams, processes, training, files or start-up, with queries that other tests run on both
# databases, or they use no database. `make faults` runs all fault cases on both.
SQLITE_ONLY = (
    "admin/test_config_field.py",
    "admin/test_policy_form.py",
    "alerts/test_alert_admin.py",
    "benchmarks/test_learning.py",
    "benchmarks/test_optimum.py",
    "browser",
    "core",
    "dashboard/api/test_access.py",
    "dashboard/api/test_documentation.py",
    "dashboard/api/test_schema.py",
    "dashboard/api/protocol/test_throttling.py",
    "dashboard/live",
    "dashboard/pages/deploying",
    "dashboard/pages/policy/test_now.py",
    "dashboard/pages/test_actions.py",
    "dashboard/pages/test_duplicate.py",
    "dashboard/pages/test_settings.py",
    "faults/test_disk_faults.py",
    "faults/test_redis_faults.py",
    "faults/test_worker_faults.py",
    "faults/test_worker_processes.py",
    "management/test_commands.py",
    "management/test_policystore.py",
    "quantum_trader/environment",
    "quantum_trader/test_settings.py",
    "versions/test_export.py",
    "versions/test_replay.py",
    "worker/test_comparing.py",
    "worker/test_execution.py",
    "worker/test_stored_for_replay.py",
)
# On PostgreSQL `make test` leaves these tests to `make system`, because they take seconds, mostly of computation.
SYSTEM_ON_POSTGRESQL = (
    "accounts/test_flower_login.py",
    "alerts/test_result_alerts.py",
    "benchmarks",
    "dashboard/pages/policy",
    "decisions/test_challengers.py",
    "decisions/test_comparing.py",
    "decisions/test_exchange.py",
    "decisions/test_own_columns.py",
    "storage/test_backup.py",
    "test_trainable.py",
    "worker/test_own_columns.py",
    "worker/test_validating.py",
)
ROOT = Path(__file__).parents[1]
# URL of a PostgreSQL server's database; empty: the tests use SQLite.
SERVER = os.environ.get("TEST_DATABASE_URL", "")


def remove_template() -> None:
    if SERVER and template_file().exists():
        drop_database(template_file().read_text())


def template_file() -> Path:
    """Return the path of the SQLite template, or of the file with the name of the PostgreSQL template."""
    return shared_folder.path("template" if SERVER else "db.sqlite3")


def make_template() -> None:
    """Migrate the template unless another process of this test run has done so."""
    with shared_folder.locked("template"):
        if template_file().exists():
            return
        folder = template_file().with_name("state")
        folder.mkdir()
        name = f"template_{os.getpid()}" if SERVER else ""
        if SERVER:
            create_database(name)
        settings = {"DJANGO_SETTINGS_MODULE": "quantum_trader.settings", "SECRET_KEY": "for tests only", "DEBUG": "1"}
        environment = os.environ | settings | {"STATE_DIR": str(folder), "DATABASE_URL": url_of(name) if name else ""}
        command = [sys.executable, "manage.py", "migrate", "--noinput", "--skip-checks"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        if SERVER:
            template_file().write_text(name)
        else:
            copy_sqlite(folder / "db.sqlite3", template_file())


def copy_template(folder: Path) -> None:
    """Copy the migrated SQLite database into the folder."""
    make_template()
    shutil.copy(template_file(), folder)


def copy_sqlite(source: Path, target: Path | str) -> None:
    """Copy a SQLite database to a file, or to the database that a `file:` URI names."""
    with (
        closing(sqlite3.connect(source)) as original,
        closing(sqlite3.connect(target, uri=isinstance(target, str))) as copy,
    ):
        original.backup(copy)


def url_of(name: str) -> str:
    """Return the URL of a database on the server of TEST_DATABASE_URL."""
    return urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))


def create_database(name: str, template: str = "") -> None:
    statement = sql.SQL("CREATE DATABASE {}" + (" TEMPLATE {}" if template else ""))
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(statement.format(*(sql.Identifier(given) for given in (name, template) if given)))


def drop_database(name: str) -> None:
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def migrated_postgresql(name: str) -> Iterator[str]:
    """Return the URL of a migrated database, which is dropped at the end."""
    make_template()
    drop_database(name)
    create_database(name, template_file().read_text())
    try:
        yield url_of(name)
    finally:
        drop_database(name)


@contextmanager
def migrated(folder: Path, name: str) -> Iterator[str]:
    """Return the URL of a migrated PostgreSQL database, or "" after copying a SQLite database into the folder."""
    if SERVER:
        with migrated_postgresql(name) as url:
            yield url
        return
    copy_template(folder)
    yield ""


@contextmanager
def migrated_sqlite_in_memory(uri: str) -> Iterator[None]:
    """Fill the shared in-memory database with the template; it lives at least as long as the block."""
    make_template()
    with closing(sqlite3.connect(uri, uri=True)) as keeper:
        with closing(sqlite3.connect(template_file())) as template:
            template.backup(keeper)
        yield
