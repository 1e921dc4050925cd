"""The supervisor that starts services, restarts those that end, and stops all of them at the end."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

import structlog
from celery.platforms import set_pdeathsig

from quantum_trader.processes import BASE_DIR, Service
from quantum_trader.running.log_files import LogFile

log = structlog.get_logger(__name__)

# A worker normally releases its run within this time. Redis gets one second more, so `up` ends within ten seconds.
GRACE_SECONDS = 7.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# A service that ran this long has recovered: after its next end, the pauses start again at the first.
STEADY_SECONDS = 60.0


class Signals:
    """A context in which SIGINT, SIGTERM and SIGHUP only increase `received`; the second raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.received = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def __enter__(self) -> "Signals":
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._count) for number in self._stop_signals()}
        # A handler for SIGCHLD makes the end of a child wake `wait`.
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float, also: Sequence[int] = ()) -> list[int]:
        """Wait until a signal arrives, a child ends or a file of `also` is readable, at most `seconds`.

        Returns the readable files of `also`.
        """
        ready, _, _ = select.select([self._read, *also], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)
        return [file for file in ready if file != self._read]

    @staticmethod
    def _stop_signals() -> Iterator[signal.Signals]:
        yield from (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # Under nohup the signal is ignored.
            yield signal.SIGHUP

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.received += 1
        if self.received > 1:
            raise KeyboardInterrupt


@dataclass
class Child:
    """The current or last process of a service, and when to start the next."""

    service: Service
    process: subprocess.Popen[bytes]
    started_at: float
    ends: int = 0  # Consecutive ends without a steady time between them.
    restart_at: float | None = None
    over: bool = False

    def ended(self) -> bool:
        """Return whether the process has ended. If so, kill the rest of its process group at the first call."""
        if not self.over and self.process.poll() is not None:
            self.over = True
            self.kill()
        return self.over

    def kill(self) -> None:
        """Kill the process and its process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Supervisor:
    """Keeps services running. Leaving the context stops all of them.

    Each service leads a session and a process group, so that Ctrl-C in the terminal reaches the supervisor alone and
    the processes that a service started can be killed with it. On Linux the kernel kills the services when the
    supervisor is killed.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        signals: Signals,
        stdout: IO[str] | None = None,
        log_file: Callable[[str], LogFile] | None = None,
    ) -> None:
        # Programs of this interpreter's virtual environment go first, whether it is activated or not.
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        self._environment = {**environment, "PATH": path}
        self._signals = signals
        self._stdout = stdout
        # Returns the log file of a service by its name; None: services write to the console only.
        self._log_file = log_file
        self._logs: dict[str, LogFile] = {}
        self._children: list[Child] = []

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *services: Service) -> None:
        for service in services:
            self._children.append(Child(service, self._spawn(service), time.monotonic()))

    def running(self, name: str) -> bool:
        return any(child.service.name == name and not child.ended() for child in self._children)

    def pid(self, name: str) -> int | None:
        """Return the process id of the service, None while it does not run."""
        return next((c.process.pid for c in self._children if c.service.name == name and not c.ended()), None)

    def kill(self, name: str) -> None:
        """Kill the service's process with SIGKILL; `watch` restarts it."""
        for child in self._children:
            if child.service.name == name and not child.ended():
                child.process.kill()

    def watch(self, seconds: float) -> None:
        """Wait at most `seconds` for a signal or the end of a service; restart services whose pause is over."""
        self._wait(seconds)
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None and now >= child.restart_at:
                child.process, child.started_at = self._spawn(child.service), now
                child.restart_at, child.over = None, False
            elif child.restart_at is None and child.ended():
                self._note_end(child, now)

    def stop(self) -> None:
        """Send SIGTERM to all services, last to those with `stops_last`. Kill services that do not end in time."""
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            for last in (False, True):
                now = [child for child in self._children if child.service.stops_last == last]
                self._terminate(now, deadline + last)
        finally:
            for child in self._children:
                if not child.ended():
                    log.warning("Service does not stop and is killed", service=child.service.name)
                    child.kill()
            self._children.clear()
            for log_file in self._logs.values():
                log_file.close()
            self._logs.clear()

    def _wait(self, seconds: float) -> None:
        """Pass on what services write until a signal arrives or a child ends, at most about `seconds`."""
        deadline = time.monotonic() + seconds
        outputs = {log_file.output: log_file for log_file in self._logs.values()}
        while ready := self._signals.wait(max(0.0, deadline - time.monotonic()), [*outputs]):
            for output in ready:
                outputs[output].pass_on()
            if time.monotonic() >= deadline:
                return

    def _terminate(self, children: list[Child], deadline: float) -> None:
        for child in children:
            if not child.ended():
                child.process.terminate()
        while not all(child.ended() for child in children) and time.monotonic() < deadline:
            self._wait(0.1)

    def _note_end(self, child: Child, now: float) -> None:
        child.ends = 1 if now - child.started_at >= STEADY_SECONDS else child.ends + 1
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (child.ends - 1), LONGEST_PAUSE_SECONDS)
        child.restart_at = now + pause
        status = child.process.returncode
        # A service that ends with status 0 was stopped by a signal from outside or in Flower.
        (log.error if status else log.warning)(
            "Service ended and is started again",
            service=child.service.name,
            exit_status=status,
            pause_seconds=pause,
        )

    def _spawn(self, service: Service) -> "subprocess.Popen[bytes]":
        if self._log_file and service.name not in self._logs:
            self._logs[service.name] = self._log_file(service.name)
        log_file = self._logs.get(service.name)
        return subprocess.Popen(  # noqa: S603 - the commands are constants
            service.command,
            cwd=BASE_DIR,
            env={**self._environment, **service.env},
            stdin=subprocess.DEVNULL,
            stdout=log_file.input if log_file else self._stdout,
            stderr=subprocess.STDOUT if log_file else None,
            start_new_session=True,
            preexec_fn=end_with_parent(),
        )


def end_with_parent() -> Callable[[], None]:
    """Return a `preexec_fn` that makes the kernel kill the child when its parent dies (Linux only)."""
    parent = os.getpid()

    def arrange() -> None:
        set_pdeathsig("SIGKILL")
        if os.getppid() != parent:
            os._exit(1)

    return arrange
