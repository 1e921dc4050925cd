"""The supervisor with small programs as services."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from quantum_trader.processes import Service
from quantum_trader.running import supervisor as supervision
from quantum_trader.running.supervisor import Signals, Supervisor
from tests.waiting import wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervision, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.05)
    with Signals() as signals, Supervisor(os.environ, signals) as supervisor:
        yield supervisor


def python(name: str, program: str, **env: str) -> Service:
    return Service(name, (sys.executable, "-c", program), env)


def written_pid(path: Path) -> int:
    """Wait for the process id that a service writes into the file, and return it."""
    return int(wait_for(lambda: path.exists() and path.read_text().strip(), f"a number in {path}"))


def test_ended_service_is_restarted_after_growing_pauses(supervisor, caplog):
    supervisor.start(python("short", "raise SystemExit(3)"))

    def ends() -> list[tuple[str, int, float]]:
        supervisor.watch(0.05)
        lines = [record.msg for record in caplog.records]
        return [(line["service"], line["exit_status"], line["pause_seconds"]) for line in lines]

    wait_for(lambda: len(ends()) == 3, "the third end")
    assert ends() == [("short", 3, 0.05), ("short", 3, 0.1), ("short", 3, 0.2)]


@pytest.mark.parametrize(("status", "level"), [(0, "WARNING"), (1, "ERROR"), (-9, "ERROR")])
def test_end_of_service_is_an_error_unless_its_status_is_0(status, level, supervisor, caplog):
    end = f"os.kill(os.getpid(), {-status})" if status < 0 else f"raise SystemExit({status})"
    supervisor.start(python("short", f"import os; {end}"))

    def first_line() -> "tuple[str, int] | None":
        supervisor.watch(0.05)
        return next(((record.levelname, record.msg["exit_status"]) for record in caplog.records), None)

    assert wait_for(first_line, "the end") == (level, status)


@pytest.mark.system
def test_stubborn_service_is_killed_with_its_children(supervisor, tmp_path):
    program = (
        "import os, signal, subprocess, sys;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid));"
        f"open({str(tmp_path / 'parent')!r}, 'w').write(str(os.getpid()));"
        "signal.pause()"
    )
    supervisor.start(python("stubborn", program))
    pids = [written_pid(tmp_path / name) for name in ("parent", "child")]
    supervisor.stop()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), "both processes to end")


@pytest.fixture
def set_hangup() -> Iterator[Callable[[signal.Handlers], object]]:
    """Return a function that sets what a hangup does: nohup ignores it."""
    previous = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, previous)


def test_hangup_stays_ignored_under_nohup(set_hangup):
    set_hangup(signal.SIG_IGN)
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.received == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_signal_is_counted_and_the_second_interrupts(set_hangup, number):
    set_hangup(signal.SIG_DFL)
    with Signals() as signals:
        os.kill(os.getpid(), number)
        signals.wait(10)
        assert signals.received == 1
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_services_use_programs_of_this_interpreter(supervisor, tmp_path):
    supervisor.start(python("path", f"import os; open({str(tmp_path / 'path')!r}, 'w').write(os.environ['PATH'])"))
    path = wait_for(lambda: (tmp_path / "path").exists() and (tmp_path / "path").read_text(), "the path")
    assert path.split(os.pathsep)[0] == str(Path(sys.executable).parent)
