"""A system of real processes for a browser, with a Redis, a database, a folder and a port of its own."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.system.running_system import AT_WORK, Started, running, spawn
from quantum_trader import health
from quantum_trader.processes import BASE_DIR, COMMANDS, Service
from quantum_trader.state_dir import free_ports
from tests import databases
from tests.prepared import PreparedPython
from tests.redis_server import RedisServer
from tests.waiting import wait_for

HOST = "127.0.0.1"
UNSET = ("DATABASE_URL", "MARKET_DATA_ROOT", "ARTIFACT_ROOT", "CHECKPOINT_ROOT", "FLOWER_URL", "LOG_LEVEL")


@dataclass
class Site:
    """Redis, a SQLite database and services; `prepared` starts the programs, None starts new interpreters."""

    folder: Path
    prepared: PreparedPython | None = None
    port: int = field(default_factory=lambda: free_ports(1)[0])
    redis: RedisServer = field(init=False)
    stored: dict[str, Any] = field(default_factory=dict)
    _open: dict[str, contextlib.ExitStack] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.redis = RedisServer(self.folder)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return dict.fromkeys(UNSET, "") | {
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "STATE_DIR": str(self.folder),
            "REDIS_URL": self.redis.url,
            "SECRET_KEY": "for tests only",
            "ALLOWED_HOSTS": HOST,
            "DEBUG": "0",
            "HTTPS": "0",
            "LOG_FORMAT": "json",
            "OMP_NUM_THREADS": "1",
            "TRAINING_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "UVICORN_HOST": HOST,
            "UVICORN_PORT": str(self.port),
        }

    def prepare(self, rows: str = "plain") -> None:
        """Start Redis, create the tables and store the set `rows` of `tests.browser.rows.site_rows`."""
        self.redis.start()
        if self.prepared:
            databases.copy_template(self.folder)
        else:
            self.run("manage.py", "migrate", "--noinput")
        self.stored = json.loads(self.run("-m", "tests.browser.rows.site_rows", rows))

    def run(self, *command: str) -> str:
        """Run a command of the project on this system and return its output."""
        environment = os.environ | self.environment
        if self.prepared:
            return self.prepared.run(command, environment)
        done = subprocess.run(
            [sys.executable, *command], cwd=BASE_DIR, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *names: str) -> None:
        """Start the services and wait until all of them work."""
        started = {}
        for name in names:
            stack = self._open[name] = contextlib.ExitStack()
            service = Service(name, COMMANDS[name], self.environment)
            start = self.prepared.start_service if self.prepared else spawn
            started[name] = stack.enter_context(running(service, self.folder, start))
        for name, running_service in started.items():
            wait_for(partial(self._at_work, name, running_service), f"{name} to be at work", 60)

    def _at_work(self, name: str, service: Started) -> bool:
        text = service.console.path.read_text()
        assert service.process.is_running(), text[-4000:]
        return self._answers() if name == "web" else AT_WORK.get(name, AT_WORK["worker"]) in text

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return health.get(f"{self.url}/healthz", {"Host": HOST})[0] == 200
        return False

    def stop(self, name: str) -> None:
        self._open.pop(name).close()

    def close(self) -> None:
        for name in list(self._open):
            self.stop(name)
        self.redis.kill()

    def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            with connection:
                return [dict(row) for row in connection.execute(statement, values)]

    def runs(self, policy: str) -> list[dict[str, Any]]:
        """Return the runs of the policy, oldest first."""
        statement = "SELECT run.* FROM rl_training_trainingrun run JOIN rl_training_policystore policy "
        return self.query(statement + "ON policy.id = run.policy_id WHERE policy.name = ? ORDER BY run.id", policy)


@contextlib.contextmanager
def site(
    folder: Path,
    rows: str = "hostile",
    services: Sequence[str] = ("web", "worker", "beat"),
    prepared: PreparedPython | None = None,
) -> Iterator[Site]:
    """A site with a set of rows of `tests.browser.rows.site_rows` and running services until the end of the block."""
    found = Site(folder, prepared)
    try:
        found.prepare(rows)
        found.start(*services)
        yield found
    finally:
        found.close()
