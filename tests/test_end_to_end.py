"""The whole system, started by `manage.py up` on a state directory with tables, and ended by SIGKILL during a run."""

import base64
import json
import re
import sqlite3
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from quantum_trader import health
from quantum_trader.redis_clients import LONGEST_SOCKET_PATH, private_socket
from tests.prepared import PreparedPython
from tests.up_process import Up, deep_state, environment, processes_on, start
from tests.waiting import wait_for

pytestmark = pytest.mark.system

LOGIN = "admin:$for:tests"
# Runs of two members that take a second.
SMALL = {"num_envs": 4, "rollout_length": 16, "minibatch_size": 64, "hidden_sizes": [8], "epochs": 1}


def basic(login: str | None) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}


@dataclass
class System:
    """The running system, as a user at a terminal sees it."""

    up: Up
    python: PreparedPython
    token: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return self.up.environment

    @property
    def state(self) -> Path:
        return Path(self.environment["STATE_DIR"])

    def lines(self) -> list[str]:
        return self.up.console.read_text().splitlines()

    def line_with(self, text: str, seconds: float = 60) -> str:
        return wait_for(
            lambda: next((line for line in self.lines() if text in line), ""), f"a line with {text!r}", seconds
        )

    def manage(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return self.python.complete(["manage.py", *command], self.environment)

    def get(self, port: str, path: str, authorization: str) -> Any:
        url = f"http://127.0.0.1:{self.environment[port]}{path}"
        request = urllib.request.Request(url, headers={"Authorization": authorization})
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def summary(self, policy: str = "rl_v3") -> Any:
        path = f"/api/v1/rl-v3/dashboard/training-summary?policy={policy}"
        return self.get("WEB_PORT", path, f"Token {self.token}")

    def trigger_long_run(self) -> None:
        """Trigger a run that takes hours, and wait until it trains."""

        def run_id() -> str:
            command = self.manage("train_policy", "rl_v3", "--episodes", "1000000", "--json")
            return "" if command.returncode else str(json.loads(command.stdout)["run_id"])

        self.line_with(f"[RUN_ID={wait_for(run_id, 'a queued run', 120)}] Starting triggered run", 120)

    def flower(self, path: str) -> Any:
        return self.get("FLOWER_PORT", path, basic(LOGIN)["Authorization"])

    def task(self, run_id: str) -> Any:
        return self.flower(f"/api/task/info/{run_id}")

    def flower_listens(self) -> bool:
        """Return whether Flower has received an event of a worker."""
        try:
            return any(self.flower("/api/workers?status=1").values())
        except OSError:
            return False


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, python: PreparedPython) -> Iterator[System]:
    """The system of a second start: its database has an admin, and a policy with small runs."""
    state = deep_state(tmp_path_factory.mktemp("up"))
    create = ["manage.py", "createsuperuser", "--noinput", "--username", "admin", "--email", ""]
    python.run(create, environment(state, DJANGO_SUPERUSER_PASSWORD="of-the-first-start"))
    with closing(sqlite3.connect(state / "db.sqlite3")) as database, database:
        small = json.dumps({"episode_length": 64}), json.dumps(SMALL)
        database.execute("UPDATE rl_training_policystore SET seeds = 2, environment = ?, ppo = ?", small)
    system = System(start(state, ADMIN_PASSWORD="of-the-second-start"), python)
    try:
        system.up.says("Authorization: Token TOKEN")
        system.token = system.manage("create_token", "admin", "tests").stdout.strip()
        yield system
        system.trigger_long_run()
    finally:
        system.up.process.kill()
        system.up.process.wait()
    # The kernel ends the services with `up`, even during a run.
    wait_for(lambda: not processes_on(str(state)), "all processes to end", 5)


@pytest.fixture(scope="module")
def up(system: System) -> Up:
    return system.up


@pytest.fixture(scope="module")
def first_run(system: System) -> dict[str, Any]:
    """Return the first scheduled run, as the summary endpoint shows it."""
    wait_for(lambda: system.summary()["total_runs"], "the first scheduled run to finish", 120)
    run: dict[str, Any] = system.summary()["recent_runs"][0]
    return run


@pytest.fixture(scope="module")
def triggered_run(system: System, first_run: dict[str, Any]) -> dict[str, Any]:
    """Return a run that the command triggered. Flower listens before: it shows only tasks since its own start."""
    wait_for(system.flower_listens, "Flower to listen", 60)
    finished = system.manage("train_policy", "rl_v3", "--episodes", "1", "--wait", "--json")
    assert finished.returncode == 0, finished.stderr
    run: dict[str, Any] = json.loads(finished.stdout)
    return run


def test_start_prints_urls_logins_and_curl_command(up, system):
    site, flower = (f"http://127.0.0.1:{up.environment[name]}" for name in ("WEB_PORT", "FLOWER_PORT"))
    up.says(f"^  Pages    {site}/$")
    up.says(f"^  Admin    {site}/admin/  login: admin, password: unchanged since the first start$")
    kept = "password: FLOWER_BASIC_AUTH"
    up.says(f"^  Flower   {flower}/  login: admin, {kept}; login: viewer, {kept}$")
    [url] = up.says(r"^  Summary  curl -H 'Authorization: Token TOKEN' (\S+)$").groups()
    assert health.get(url, {"Authorization": f"Token {system.token}"})[0] == 200
    up.says(f"^  A new TOKEN is made at {site}/accounts/$")


def test_later_start_prints_no_secret(up):
    console = up.console.read_text()
    assert "$for:tests" not in console
    assert "of-the-second-start" not in console
    assert "ADMIN_PASSWORD was for the first start: remove it from .env." in console


@pytest.mark.parametrize(
    ("login", "status"),
    [("admin:$for:tests", 200), ("viewer:other", 200), ("admin:$for", 401), (":", 401), (None, 401)],
)
def test_flower_answers_only_its_logins(login, status, up):
    for path in ("/workers", "/api/workers"):
        assert health.get(f"http://127.0.0.1:{up.environment['FLOWER_PORT']}{path}", basic(login))[0] == status


def test_flower_lists_the_queues_of_all_workers(up):
    url = f"http://127.0.0.1:{up.environment['FLOWER_PORT']}/broker"

    def queues() -> set[str]:
        return set(re.findall('<tr id="([a-z]+)">', health.get(url, basic(LOGIN))[1]))

    wait_for(lambda: queues() == {"training", "alerts", "decisions"}, "all queues", 10)


def test_deep_state_directory_gets_private_socket_elsewhere(system):
    assert len(str(system.state / "redis.sock")) > LONGEST_SOCKET_PATH
    path = private_socket(system.state)
    assert [path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777] == [0o700, 0o700]


def test_services_listen_on_loopback_only(up):
    listening = {
        connection.laddr
        for process in processes_on(up.environment["STATE_DIR"])
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", int(up.environment[name])) for name in ("WEB_PORT", "FLOWER_PORT")}


def test_another_start_on_the_same_state_is_refused(system, python):
    another = python.complete(["manage.py", "up"], environment(system.state), 60)
    assert another.returncode == 1
    assert f"`up` is already running on {system.state}" in another.stderr


def test_first_scheduled_run_appears_in_the_summary(system, first_run):
    summary = system.summary()
    assert list(summary) == [
        "enabled",
        "interval_minutes",
        "episodes_per_run",
        "total_runs",
        "success_rate",
        "last_run_at",
        "last_error",
        "recent_runs",
    ]
    assert (summary["success_rate"], summary["last_error"], first_run["success"]) == (1.0, None, True)
    assert first_run["episodes"] == 2


def test_console_shows_the_run_in_order(system, first_run):
    run = f"[RLv3][TRAINING][RUN_ID={first_run['run_id']}]"
    expected = [
        "[RLv3][TRAINING] Config updated: enabled=True, interval=60min, episodes=2",
        f"{run} Starting scheduled run",
        f"{run}[episode=1/2] Episode complete",
        f"{run}[episode=2/2] Episode complete",
        f"{run}[episode=2/2] Training completed",
        f"{run} Published rl_v3.training.completed event",
    ]
    system.line_with(expected[-1])
    lines = [line for line in system.lines() if "Config updated" not in line or "policy=rl_v3 " in line]
    shown = [next((start for start in expected if line.startswith(start)), None) for line in lines]
    # Each member of a run repeats the episodes.
    assert list(dict.fromkeys(start for start in shown if start)) == expected


def test_streams_count_the_runs(system, first_run):
    client = redis.Redis(unix_socket_path=str(private_socket(system.state)))
    total = system.summary()["total_runs"]
    wait_for(lambda: client.xlen("rl_v3.training.completed") >= total, "the completed event")
    assert client.xlen("rl_v3.training.started") == client.xlen("rl_v3.training.completed") == total
    client.close()


def test_edit_reaches_beat_within_two_seconds(system, first_run):
    assert system.manage("policystore", "set", "rl_v3.training.interval_minutes", "45").returncode == 0
    system.line_with("Config updated: enabled=True, interval=45min, episodes=2", seconds=2)


def test_triggered_run_is_followed_to_its_end(system, triggered_run):
    run = triggered_run
    assert (run["status"], run["trigger"], run["version"]) == ("succeeded", "command", 2)
    assert run["run_id"] in [shown["run_id"] for shown in system.summary()["recent_runs"]]


def test_flower_shows_the_run_as_a_succeeded_task(system, triggered_run):
    def state() -> bool:
        return bool(system.task(triggered_run["run_id"])["state"] == "SUCCESS")

    wait_for(state, "Flower to see the task succeed")
    assert triggered_run["run_id"] in system.task(triggered_run["run_id"])["kwargs"]


def test_policy_without_its_market_file_fails_alone(system, first_run):
    create = (
        "from rl_training.core.market_config import MarketConfig;"
        "PolicyStore.objects.create(name='fileless', market=MarketConfig(source='file', path='absent.csv'))"
    )
    assert system.manage("shell", "-c", create).returncode == 0
    wait_for(lambda: system.summary("fileless")["total_runs"], "the run without a file to fail", 60)
    summary = system.summary("fileless")
    assert "absent.csv" in summary["last_error"]
    assert (summary["success_rate"], summary["recent_runs"][0]["success"]) == (0.0, False)
    [status] = json.loads(system.manage("training_status", "fileless", "--json").stdout)
    assert status["next_run_at"] > summary["last_run_at"]
    events = [json.loads(line) for line in system.manage("training_events").stdout.splitlines()]
    completed = next(event for event in events if event["event_type"] == "fileless.training.completed")
    assert (completed["payload"]["success"], completed["payload"]["error"]) == (False, summary["last_error"])
    assert system.summary()["success_rate"] == 1.0


def test_killed_service_is_restarted(up):
    def beats() -> list[psutil.Process]:
        return [process for process in processes_on(up.environment["STATE_DIR"]) if process.cmdline()[-1:] == ["beat"]]

    [beat] = beats()
    beat.kill()
    up.says("Service ended and is started again service=beat exit_status=-9")
    wait_for(lambda: [found for found in beats() if found.pid != beat.pid], "another beat")
