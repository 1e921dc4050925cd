"""The supervisor, with small programs for services."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from quantum_trader import processes
from quantum_trader.processes import Service, Signals, Supervisor
from tests.waiting import wait_for


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(processes, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(processes, "FIRST_PAUSE_SECONDS", 0.05)
    with Signals() as signals, Supervisor(os.environ, signals) as supervisor:
        yield supervisor


def python(name: str, program: str, **env: str) -> Service:
    return Service(name, (sys.executable, "-c", program), env)


def number_in(path: Path) -> int:
    """The process number that a service wrote, once it is there."""
    return int(wait_for(lambda: path.exists() and path.read_text().strip(), f"a number in {path}"))


def test_a_service_that_ends_is_started_again_after_growing_pauses(supervisor, caplog):
    supervisor.start(python("short", "raise SystemExit(3)"))

    def ends() -> list[tuple[str, int, float]]:
        supervisor.watch(0.05)
        lines = [record.msg for record in caplog.records]
        return [(line["service"], line["exit_status"], line["pause_seconds"]) for line in lines]

    wait_for(lambda: len(ends()) == 3, "the third end")
    assert ends() == [("short", 3, 0.05), ("short", 3, 0.1), ("short", 3, 0.2)]


def test_a_service_that_does_not_stop_is_killed_with_all_that_it_started(supervisor, tmp_path):
    program = (
        "import os, signal, subprocess, sys;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']);"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid));"
        f"open({str(tmp_path / 'parent')!r}, 'w').write(str(os.getpid()));"
        "signal.pause()"
    )
    supervisor.start(python("stubborn", program))
    numbers = [number_in(tmp_path / name) for name in ("parent", "child")]
    supervisor.stop()
    wait_for(lambda: not any(psutil.pid_exists(number) for number in numbers), "both processes to end")


def test_the_services_programs_are_those_of_this_interpreter(supervisor, tmp_path):
    supervisor.start(python("path", f"import os; open({str(tmp_path / 'path')!r}, 'w').write(os.environ['PATH'])"))
    path = wait_for(lambda: (tmp_path / "path").exists() and (tmp_path / "path").read_text(), "the path")
    assert path.split(os.pathsep)[0] == str(Path(sys.executable).parent)
