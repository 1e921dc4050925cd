"""The growth over years of use: rows, files and the costs of removing them. Importing this needs django.setup()."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from django.conf import settings

from benchmarks.abuse.rows import Row
from benchmarks.abuse.stored_year import POLICIES, SCALE
from benchmarks.results.figures import Figure
from benchmarks.system.running_system import RunningSystem

GB = 1e9
# The runs per minute, whose rows and files must be removed within that minute.
RUNS_A_MINUTE = POLICIES


def rows(system: RunningSystem) -> Iterator[Row]:
    """Yield the rows of this part, on PostgreSQL and on SQLite."""
    yield from of_database("PostgreSQL", {})
    state = system.folder / "sqlite"
    state.mkdir(mode=0o700)
    sqlite = {"DATABASE_URL": "", "STATE_DIR": str(state), "REDIS_URL": settings.REDIS_URL}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput"], env=os.environ | sqlite, check=True, stdout=sys.stderr
    )
    yield from of_database("SQLite", sqlite)


def of_database(name: str, environment: dict[str, str]) -> Iterator[Row]:
    command = [sys.executable, "-m", "benchmarks.abuse.stored_year"]
    output = subprocess.run(command, env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(output.splitlines()[-1])
    what = f"{name}, a successful run"
    yield Row("71 kB", Figure(f"{what}: database", found["bytes_of_a_run"] / 1e3, "kB", at_most=8))
    year = f"{name}, a year of {POLICIES} policies at one-minute intervals, simulated at 1/{SCALE}"
    stored = POLICIES * (found["database_bytes"] + found["file_bytes"]) / GB
    yield Row("12,500 GB", Figure(f"{year}: database and files", stored, "GB", at_most=50))
    files = POLICIES * found["file_bytes"] / GB
    yield Row("8,800 GB", Figure(f"{year}: files", files, "GB"))
    yield Row("3,700 GB", Figure(f"{year}: database", POLICIES * found["database_bytes"] / GB, "GB"))
    share = 100 * found["seconds_for_a_run"] * RUNS_A_MINUTE / 60
    yield Row("not pruned", Figure(f"{name}, pruning for {POLICIES} runs a minute", share, "% of a core", at_most=5))
