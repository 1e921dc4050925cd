"""`manage.py up`: its messages, the processes that it starts, and what it leaves behind."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from quantum_trader import health
from quantum_trader.redis_clients import LONGEST_SOCKET_PATH, private_socket
from quantum_trader.state_dir import free_ports
from tests import databases
from tests.prepared import PreparedPython
from tests.waiting import wait_for

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "manage.py", "up"]


@dataclass
class Up:
    """A process of `manage.py up`; `console` holds its output."""

    environment: dict[str, str]
    console: Path
    process: "subprocess.Popen[bytes]"

    def says(self, pattern: str, seconds: float = 150) -> "re.Match[str]":
        """Return the first match of `pattern` in the output, waiting for it."""

        def found() -> "re.Match[str] | None":
            assert self.process.poll() is None, self.console.read_text()
            return re.search(pattern, self.console.read_text(), re.MULTILINE)

        match = wait_for(found, f"a line with {pattern!r}", seconds)
        assert match
        return match

    def end(self, number: signal.Signals, seconds: float) -> int:
        """Send a signal and return the exit status once all processes on the state directory have ended."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=seconds)
        wait_for(lambda: not processes_on(self.environment["STATE_DIR"]), "all processes to end", 5)
        return status


def environment(state: Path, **others: str) -> dict[str, str]:
    web, flower = free_ports(2)
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        "STATE_DIR": str(state),
        **dict.fromkeys(["DATABASE_URL", "REDIS_URL", "ADMIN_PASSWORD"], ""),
        "FLOWER_BASIC_AUTH": "admin:$for:tests,viewer:other",
        "WEB_PORT": str(web),
        "FLOWER_PORT": str(flower),
        **others,
    }


def start(state: Path, **others: str) -> Up:
    console, settings = state.with_name(f"{state.name[:20]}-console"), environment(state, **others)
    with console.open("w") as output:
        process = subprocess.Popen(COMMAND, cwd=ROOT, env=settings, stdout=output, stderr=subprocess.STDOUT)
    return Up(settings, console, process)


def processes_on(state: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STATE_DIR") == state:
                found.append(process)
        except psutil.Error:  # The process has ended meanwhile or belongs to another user.
            continue
    return found


def get(url: str, authorization: str = "") -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": authorization})) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, python: PreparedPython) -> Path:
    """A state directory with tables and an admin, as after a first start; its path is too long for a unix socket."""
    state = tmp_path_factory.mktemp("up") / ("deep" * 30)
    state.mkdir(mode=0o700)
    databases.copy_template(state)
    create = ["manage.py", "createsuperuser", "--noinput", "--username", "admin", "--email", ""]
    python.run(create, environment(state, DJANGO_SUPERUSER_PASSWORD="of-the-first-start"))
    return state


@pytest.fixture(scope="module")
def up(state: Path) -> Iterator[Up]:
    """The running system of a second start, which SIGTERM ends completely within 10 s."""
    up = start(state, ADMIN_PASSWORD="of-the-second-start")
    try:
        up.says("Authorization: Token")
        yield up
    finally:
        status = up.end(signal.SIGTERM, seconds=10)
    assert status == 0
    assert not private_socket(state).parent.exists()


def test_start_prints_urls_logins_and_curl_command(up):
    site, flower = (f"http://127.0.0.1:{up.environment[name]}" for name in ("WEB_PORT", "FLOWER_PORT"))
    up.says(f"^  Pages    {site}/$")
    up.says(f"^  Admin    {site}/admin/  login: admin, password: unchanged since the first start$")
    flower_logins = r"login: admin, password: \$for:tests; login: viewer, password: other"
    up.says(f"^  Flower   {flower}/  {flower_logins}$")
    token, url = up.says(r"^  Summary  curl -H 'Authorization: (Token [0-9a-f]{40})' (\S+)$").groups()
    assert get(url, token)["interval_minutes"] == 60


@pytest.mark.parametrize(
    ("login", "status"),
    [("admin:$for:tests", 200), ("viewer:other", 200), ("admin:$for", 401), (":", 401), (None, 401)],
)
def test_flower_answers_only_its_logins(login, status, up):
    headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
    for path in ("/workers", "/api/workers"):
        assert health.get(f"http://127.0.0.1:{up.environment['FLOWER_PORT']}{path}", headers)[0] == status


def test_flower_lists_the_queues_of_all_workers(up):
    url = f"http://127.0.0.1:{up.environment['FLOWER_PORT']}/broker"
    login = {"Authorization": f"Basic {base64.b64encode(b'admin:$for:tests').decode()}"}

    def queues() -> set[str]:
        return set(re.findall('<tr id="([a-z]+)">', health.get(url, login)[1]))

    wait_for(lambda: queues() == {"training", "alerts", "decisions"}, "all queues", 10)


def test_deep_state_directory_gets_private_socket_elsewhere(up, state):
    assert len(str(state / "redis.sock")) > LONGEST_SOCKET_PATH
    path = private_socket(state)
    assert [path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777] == [0o700, 0o700]


def test_services_listen_on_loopback_only(up):
    listening = {
        connection.laddr
        for process in processes_on(up.environment["STATE_DIR"])
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", int(up.environment[name])) for name in ("WEB_PORT", "FLOWER_PORT")}


def test_second_start_on_same_state_is_refused(up, state, python):
    second = python.complete(["manage.py", "up"], environment(state), 60)
    assert second.returncode == 1
    assert f"It is already running on {state}" in second.stderr


def test_killed_service_is_restarted(up):
    def beats() -> list[psutil.Process]:
        return [process for process in processes_on(up.environment["STATE_DIR"]) if process.cmdline()[-1:] == ["beat"]]

    [beat] = beats()
    beat.kill()
    up.says("Service ended and is started again service=beat exit_status=-9")
    wait_for(lambda: [found for found in beats() if found.pid != beat.pid], "another beat")


def test_once_prints_summary_and_leaves_nothing(tmp_path):
    settings = environment(tmp_path / "state")
    once = subprocess.run([*COMMAND, "--once"], cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert once.returncode == 0, once.stderr
    [line] = once.stdout.splitlines()
    summary = json.loads(line)
    assert (summary["total_runs"], summary["success_rate"]) == (1, 1.0)
    assert [run["episodes"] for run in summary["recent_runs"]] == [2]
    assert not (tmp_path / "state").exists()
    assert processes_on(settings["STATE_DIR"]) == []
