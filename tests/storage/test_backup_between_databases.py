"""Backups of a database with rows in every table, from PostgreSQL to SQLite and back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rl_training.storage.backup import archive
from tests import databases
from tests.storage.test_backup import changed

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.system,
    pytest.mark.skipif(not databases.SERVER, reason="needs PostgreSQL"),
]

POLICIES = "rows/rl_training.PolicyStore.jsonl"
ROOT = Path(__file__).parents[2]


def run(folder: Path, url: str, *command: str, status: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    roots = dict.fromkeys(["ARTIFACT_ROOT", "CHECKPOINT_ROOT", "MARKET_DATA_ROOT"], "")
    state = {"STATE_DIR": str(folder), "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "quantum_trader.settings"}
    password = {"DJANGO_SUPERUSER_PASSWORD": "a long secret"}
    environment = {**os.environ, "SECRET_KEY": "x", "ALLOWED_HOSTS": "x", **roots, **state, **password}
    found = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == status, found.stderr


def rows_of(path: Path) -> dict[str, list[Any]]:
    with archive.reading(path) as reader:
        return {name: [values(line) for line in reader.open(name)] for name in reader.names("rows")}


def values(line: bytes) -> list[Any]:
    """Return the values of a row; PostgreSQL orders the keys of JSON, also of a config, which is a text in the row."""
    return [as_config(value) if isinstance(value, str) else value for value in json.loads(line)]


def as_config(value: str) -> Any:
    return json.loads(value) if value.startswith("{") else value


@pytest.fixture
def urls(tmp_path):
    """Return the URLs of a migrated database, of SQLite, and of an empty database."""
    name = f"restored_{os.getpid()}"
    databases.drop_database(name)
    databases.create_database(name)
    with databases.migrated(tmp_path, f"{name}_from") as url:
        yield url, "", databases.url_of(name)
    databases.drop_database(name)


def test_rows_of_every_table_survive_a_move_between_databases_and_back(tmp_path, urls):
    places = [(tmp_path / name, url) for name, url in zip(("first", "second", "third"), urls, strict=True)]
    run(*places[0], "-m", "tests.storage.every_table")
    for number, (folder, url) in enumerate(places):
        if number:
            # A restore that fails leaves the database empty, and may be repeated.
            broken = changed(places[number - 1][0] / "backup", tmp_path / f"broken{number}", POLICIES, lambda _: b"")
            run(folder, url, "manage.py", "restore", str(broken), status=1)
            run(folder, url, "manage.py", "restore", str(places[number - 1][0] / "backup"))
        run(folder, url, "manage.py", "backup", str(folder / "backup"))
    before, between, after = (rows_of(folder / "backup") for folder, _ in places)
    assert all(before.values())
    assert before == between == after
    # The id of a new row follows those of the restored ones.
    run(*places[2], "manage.py", "createsuperuser", "--noinput", "--username=new", "--email=new@example.org")
