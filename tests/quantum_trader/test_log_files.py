import os
import sys

import pytest

from quantum_trader.processes import Service
from quantum_trader.running.log_files import LogFile
from quantum_trader.running.supervisor import Signals, Supervisor
from tests.waiting import wait_for


@pytest.fixture
def console(tmp_path):
    with (tmp_path / "console").open("w") as file:
        yield file


def test_log_file_is_rotated_before_it_exceeds_its_size(tmp_path, console):
    log = LogFile(tmp_path / "web.log", 1000, console.fileno())
    for number in range(60):
        os.write(log.input, f"{number:02} {'x' * 96}\n".encode())
        log.pass_on()
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("web.log*")}
    assert sizes == dict.fromkeys(("web.log", "web.log.1", "web.log.2", "web.log.3", "web.log.4"), 1000)
    assert (tmp_path / "web.log").read_text().startswith("50 ")
    assert (tmp_path / "web.log.4").read_text().startswith("10 ")
    assert (tmp_path / "console").stat().st_size == 6000


def test_full_disk_and_closed_console_are_tolerated(tmp_path):
    log = LogFile(tmp_path / "missing" / "web.log", 1000, os.open("/dev/full", os.O_WRONLY))
    os.write(log.input, b"line\n")
    log.pass_on()
    log.close()


@pytest.mark.process
def test_output_of_a_restarted_service_goes_to_console_and_file(tmp_path, console):
    def log_file(name: str) -> LogFile:
        return LogFile(tmp_path / f"{name}.log", 100_000, console.fileno())

    program = "import sys; print('out', flush=True); print('error', file=sys.stderr)"
    with Signals() as signals, Supervisor(os.environ, signals, log_file=log_file) as supervisor:
        supervisor.start(Service("short", (sys.executable, "-c", program)))

        def lines() -> int:
            supervisor.watch(0.05)
            return (tmp_path / "short.log").read_text().count("\n") if (tmp_path / "short.log").exists() else 0

        wait_for(lambda: lines() >= 4, "the output of two processes")
    assert (tmp_path / "console").read_text()[:20] == "out\nerror\nout\nerror\n"
