"""Start the project's programs from a Python that has already imported the libraries.

Importing Django, Celery and torch takes a new process about four seconds of processor time, which the tests would spend
dozens of times. A prepared Python spends this time once, loads the compiled code of a run, and forks for each program.
The project's modules except core, and its settings, are imported after the fork, so each program reads its own
environment. `make faults` starts new interpreters.

`python -m tests.prepared SOCKET PID` is the prepared Python. It ends when the process PID ends.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from celery.platforms import set_pdeathsig

from quantum_trader.processes import Service
from tests import shared_folder
from tests.waiting import wait_for

ROOT = Path(__file__).parents[1]
LIBRARIES = (
    *("torch", "scipy.linalg", "numba", "gymnasium.vector", "pydantic", "safetensors.torch", "arch.bootstrap"),
    *("requests", "cryptography.fernet", "jinja2", "markdown", "environ", "servestatic", "django.contrib.admin"),
    *("celery.bin.celery", "celery.bin.worker", "celery.apps.worker", "celery.apps.beat", "celery.fixups.django"),
    *("celery.concurrency.prefork", "kombu.transport.redis", "redis.asyncio", "structlog", "psycopg", "uvicorn"),
    *("django.core.management", "django.core.handlers.asgi", "django.db.backends.sqlite3.base", "rest_framework"),
    *("django.db.backends.postgresql.base", "simple_history.models", "django_pydantic_field", "drf_spectacular.utils"),
    *("rest_framework.serializers", "django_filters.rest_framework", "rl_training.core.run.training"),
)
LARGEST_REQUEST = 2**20


class Program:
    """A program that a prepared Python has started, with the methods of subprocess.Popen that the tests use."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(connection.recv(16))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status, negative for a signal; raise subprocess.TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(self._connection.recv(16))
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class PreparedPython:
    """The test's side of the prepared Python that all processes of a test run share. The first of them starts it."""

    def __init__(self) -> None:
        self._path = shared_folder.path("prepared.sock")
        with shared_folder.locked("prepared"):
            if not self._path.exists():
                command = [sys.executable, "-m", "tests.prepared", str(self._path), os.environ[shared_folder.TEST_RUN]]
                environment = os.environ | {"OMP_NUM_THREADS": "1"}
                self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)
                wait_for(self._path.exists, "the libraries to be imported", 120)

    def start(
        self, command: Sequence[str], environment: dict[str, str], output: IO[bytes], errors: IO[bytes]
    ) -> Program:
        """Run `-m MODULE ...`, `-c CODE ...` or `FILE ...` in the project's root, as the leader of a new session."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(str(self._path))
        request = json.dumps({"command": list(command), "environment": environment}).encode()
        assert len(request) <= LARGEST_REQUEST
        socket.send_fds(connection, [request], [output.fileno(), errors.fileno()])
        return Program(connection)

    def start_service(self, service: Service, console: IO[bytes]) -> Program:
        """Run a service with its console in a file."""
        return self.start(arguments(service.command), os.environ | dict(service.env), console, console)

    def run(self, command: Sequence[str], environment: dict[str, str]) -> str:
        """Return the output of the program; raise subprocess.CalledProcessError if it failed."""
        completed = self.complete(command, environment)
        completed.check_returncode()
        return completed.stdout

    def complete(
        self, command: Sequence[str], environment: dict[str, str], seconds: float | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Return the status and the output of a program; raise subprocess.TimeoutExpired after `seconds`."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            status = self.start(command, environment, output, errors).wait(seconds)
            for file in (output, errors):
                file.seek(0)
            printed, complaints = output.read().decode(), errors.read().decode()
        return subprocess.CompletedProcess(list(command), status, printed, complaints)


def arguments(command: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments with which Python runs a program of its virtual environment."""
    program, *rest = command
    return tuple(rest) if program == "python" else ("-m", program, *rest)


def serve(listener: socket.socket, test_run: int) -> list[str] | None:
    """Fork for each request: return the command in the process that must run it, None in the others at their end."""
    while test_run not in select.select([listener.fileno(), test_run], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            continue
        # A test run that is killed leaves no program: the kernel ends this process and then the program.
        set_pdeathsig("SIGKILL")
        listener.close()
        os.close(test_run)
        message, files, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 2)
        pid = os.fork()
        if not pid:
            set_pdeathsig("SIGKILL")
            # The test may send a signal to the whole session as soon as it knows the program.
            os.setsid()
            connection.send(str(os.getpid()).encode())
            connection.close()
            return become_program(json.loads(message), files)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        # The test may have ended without waiting for its program.
        with contextlib.suppress(OSError):
            connection.send(str(status).encode())
        os._exit(0)
    return None


def become_program(request: dict[str, Any], files: Sequence[int]) -> list[str]:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in zip([nothing, *files], (0, 1, 2), strict=True):
        os.dup2(source, target)
        os.close(source)
    os.environ.clear()
    os.environ |= request["environment"]
    time.tzset()
    tempfile.tempdir = None
    return list(request["command"])


def run_program(command: list[str]) -> None:
    if command[0] == "-m":
        sys.argv = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    elif command[0] == "-c":
        sys.argv = ["-c", *command[2:]]
        exec(compile(command[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


def main(path: str, test_run: str) -> None:
    try:
        end_of_test_run = os.pidfd_open(int(test_run))
    except ProcessLookupError:
        return
    # All objects made here stay in memory, so garbage collections leave them out, in the programs too.
    gc.disable()
    for name in LIBRARIES:
        importlib.import_module(name)
    sys.modules["rl_training.core.run.training"].warm_up()
    gc.freeze()
    gc.enable()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The socket is bound under another name first, so that a client that sees the path can connect to it.
    listener.bind(f"{path}.new")
    listener.listen(64)
    os.rename(f"{path}.new", path)
    if command := serve(listener, end_of_test_run):
        run_program(command)


if __name__ == "__main__":
    main(*sys.argv[1:])
