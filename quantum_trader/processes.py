"""The services that make up the system, each a process of its own, and the supervisor that runs them."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

import structlog
from celery.platforms import set_pdeathsig

log = structlog.get_logger(__name__)

BASE_DIR = Path(__file__).resolve().parent.parent
WORKER_NODE = "training@%h"
# docker-compose.yml runs these very commands. What differs from place to place (addresses, ports, logins) is in the
# environment: uvicorn reads UVICORN_HOST and UVICORN_PORT, Flower FLOWER_ADDRESS, FLOWER_PORT and FLOWER_BASIC_AUTH.
COMMANDS = {
    "redis": ("redis-server", "--appendonly", "yes", "--save", "", "--loglevel", "warning"),
    "migrate": ("python", "manage.py", "migrate", "--noinput"),
    # uvicorn.json configures nothing: its lines go through Django's logging like all others.
    "web": (
        *("uvicorn", "quantum_trader.asgi:application", "--lifespan", "off", "--no-access-log"),
        *("--log-config", "quantum_trader/uvicorn.json", "--timeout-graceful-shutdown", "5"),
    ),
    # Gossip and mingle are talk between workers that nothing here listens to; mingle costs a second at the start.
    "worker": (
        *("celery", "--quiet", "-A", "celery_app", "worker", "-Q", "training", "--hostname", WORKER_NODE),
        *("--without-gossip", "--without-mingle"),
    ),
    "beat": ("celery", "--quiet", "-A", "celery_app", "beat"),
    # A small one of its own: a training run would hold up its messages for hours, and it never imports torch.
    "alerts": (
        *("celery", "--quiet", "-A", "celery_app", "worker", "-Q", "alerts", "--hostname", "alerts@%h"),
        *("--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle"),
    ),
    "flower": ("celery", "--quiet", "-A", "celery_app", "flower"),
}

# A run that is under way is released within this as a rule. Redis has a second more; all is over within ten.
GRACE_SECONDS = 7.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# A service that ran this long has recovered: its next end is a first one again.
STEADY_SECONDS = 60.0


@dataclass(frozen=True)
class Service:
    """A process to keep running: its command, and what its environment has beyond the supervisor's own."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stops_last: bool = False  # the others need it until they have ended


def private_redis(socket: Path, folder: Path) -> Service:
    """The Redis of one state directory: reachable through `socket` alone, append-only file in `folder`."""
    options = ("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(folder))
    return Service("redis", COMMANDS["redis"] + options, stops_last=True)


def services(web: tuple[str, int], flower: tuple[str, int], flower_login: str) -> list[Service]:
    """Web, worker, beat, alerts and Flower; `web` and `flower` are the addresses to listen on."""
    own_environment = {
        "web": {"UVICORN_HOST": web[0], "UVICORN_PORT": str(web[1])},
        "flower": {"FLOWER_ADDRESS": flower[0], "FLOWER_PORT": str(flower[1]), "FLOWER_BASIC_AUTH": flower_login},
    }
    names = ("web", "worker", "beat", "alerts", "flower")
    return [Service(name, COMMANDS[name], own_environment.get(name, {})) for name in names]


class Signals:
    """While entered, SIGINT, SIGTERM and SIGHUP ask to stop, and a second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.received = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def __enter__(self) -> "Signals":
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._ask) for number in self._asking()}
        # With a handler, the end of a child wakes `wait` as well.
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float) -> None:
        """Until a signal arrives or a child ends, at most `seconds`."""
        select.select([self._read], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    @staticmethod
    def _asking() -> Iterator[signal.Signals]:
        yield from (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
            yield signal.SIGHUP

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.received += 1
        if self.received > 1:
            raise KeyboardInterrupt


@dataclass
class Child:
    """A service's process, or its last one, and when to start the next."""

    service: Service
    process: subprocess.Popen[bytes]
    started_at: float
    ends: int = 0  # in a row, without a steady time between
    restart_at: float | None = None
    over: bool = False

    def ended(self) -> bool:
        """Whether the process has ended; whatever it left of its group is ended then, while the number is its own."""
        if not self.over and self.process.poll() is not None:
            self.over = True
            self.kill()
        return self.over

    def kill(self) -> None:
        """End the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Supervisor:
    """Keeps services running; leaving it stops them all and leaves no process behind.

    Each service leads a session and a process group of its own, so that a Ctrl-C in the terminal reaches the supervisor
    alone, and whatever a service started can be ended with it. On Linux the kernel ends the services of a supervisor
    that was killed.
    """

    def __init__(self, environment: Mapping[str, str], signals: Signals, stdout: IO[str] | None = None) -> None:
        # The programs of this interpreter's environment go first, whether it was activated or not.
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        self._environment = {**environment, "PATH": path}
        self._signals = signals
        self._stdout = stdout
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
        """The number of the service's process; None while it has none."""
        return next((c.process.pid for c in self._children if c.service.name == name and not c.ended()), None)

    def kill(self, name: str) -> None:
        """End the service's process with SIGKILL; like any that ended, it is started again."""
        for child in self._children:
            if child.service.name == name and not child.ended():
                child.process.kill()

    def watch(self, seconds: float) -> None:
        """Wait at most `seconds` for something to happen; start again what ended and has waited long enough."""
        self._signals.wait(seconds)
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None and now >= child.restart_at:
                child.process, child.started_at = self._spawn(child.service), now
                child.restart_at, child.over = None, False
            elif child.restart_at is None and child.ended():
                self._note_end(child, now)

    def stop(self) -> None:
        """SIGTERM to all, then to those that stop last; whatever has not ended in time is killed."""
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

    def _terminate(self, children: list[Child], deadline: float) -> None:
        for child in children:
            if not child.ended():
                child.process.terminate()
        while not all(child.ended() for child in children) and time.monotonic() < deadline:
            self._signals.wait(0.1)

    def _note_end(self, child: Child, now: float) -> None:
        child.ends = 1 if now - child.started_at >= STEADY_SECONDS else child.ends + 1
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (child.ends - 1), LONGEST_PAUSE_SECONDS)
        child.restart_at = now + pause
        log.error(
            "Service ended and is started again",
            service=child.service.name,
            exit_status=child.process.returncode,
            pause_seconds=pause,
        )

    def _spawn(self, service: Service) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 - the commands are those above
            service.command,
            cwd=BASE_DIR,
            env={**self._environment, **service.env},
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            start_new_session=True,
            preexec_fn=end_with_parent(),
        )


def end_with_parent() -> Callable[[], None]:
    """What a child does before its program starts, so that the kernel kills it when its parent dies (on Linux)."""
    parent = os.getpid()

    def arrange() -> None:
        set_pdeathsig("SIGKILL")
        if os.getppid() != parent:
            os._exit(1)

    return arrange
