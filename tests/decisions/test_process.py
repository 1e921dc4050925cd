"""The process `decide` as `make up` starts it: on a file that grows, killed, without Redis, and without torch."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from quantum_trader.processes import BASE_DIR, COMMANDS
from tests import databases
from tests.prepared import PreparedPython
from tests.redis_server import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.system

SET_UP = """
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore
from tests.stored import deploy
from tests.weights import stored_version
from tests.decisions.growing import set_up

policy = PolicyStore.objects.get(name="rl_v3")
set_up(policy, "replayed.csv")
deploy(stored_version(policy, 1))
"""


class System:
    """A migrated database, Redis, a market that grows by a bar a second, and the process `decide`."""

    def __init__(self, folder: Path, python: PreparedPython, environment: dict[str, str]) -> None:
        databases.copy_template(folder)
        self.python = python
        self.redis, self.console = RedisServer(folder), folder / "console"
        self.redis.start()
        self.environment = environment | {
            "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
            "STATE_DIR": str(folder),
            "DATABASE_URL": "",
            "REDIS_URL": self.redis.url,
            "MAX_BAR_AGE": "20",
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        }

    def manage(self, *command: str) -> str:
        return self.python.run(("manage.py", *command), self.environment)

    def start(self, *command: str) -> psutil.Popen:
        with self.console.open("a") as console:
            return psutil.Popen(command, cwd=BASE_DIR, env=self.environment, stdout=console, stderr=subprocess.STDOUT)

    def has_decisions(self, count: int) -> bool:
        return int(self.redis.client.xlen("rl_v3.decision.made")) >= count

    def newest_bar(self) -> object:
        return self.accounts()[0]["bar_closed_at"]

    def has_moved_on(self, bar: object) -> bool:
        return self.newest_bar() != bar

    def accounts(self, *options: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.manage("policy_accounts", "rl_v3", "--json", *options).splitlines()]


@pytest.fixture
def system(tmp_path: Path, python: PreparedPython, environment_of_processes: dict[str, str]) -> Iterator[System]:
    system = System(tmp_path, python, environment_of_processes)
    system.manage("shell", "-c", SET_UP)
    yield system
    system.redis.kill()


def end(process: psutil.Popen, kill: bool = False) -> None:
    if kill:
        process.kill()
    else:
        process.terminate()
    process.wait(20)


def test_killed_process_decides_each_bar_once(system, tmp_path):
    replayed = [sys.executable, "manage.py", "market_replay", "planted", "--speed", "86400", "--history", "200"]
    market = system.start(*replayed)
    try:
        for round_ in range(3):
            process = system.start(*COMMANDS["decide"])
            wanted = int(system.redis.client.xlen("rl_v3.decision.made")) + 2
            wait_for(partial(system.has_decisions, wanted), "decisions", 90)
            if round_ == 2:
                system.redis.client.shutdown(nosave=True)
                wait_for(partial(system.has_moved_on, system.newest_bar()), "decisions without Redis", 60)
                assert not any("libtorch" in mapped.path for mapped in process.memory_maps())
            else:
                end(process, kill=True)
        end(market)
        found = json.loads(system.manage("policy_decide", "rl_v3"))
        assert found["version"] == 1
        end(process)
    finally:
        for running in (market, process):
            if running.is_running():
                end(running, kill=True)
    accounts = system.accounts("--replay")
    assert [(account["arm"], account["difference"]) for account in accounts] == [
        ("live", ""),
        ("flat", ""),
        ("buy_and_hold", ""),
    ]
    assert len({account["replayed"] for account in accounts}) == 1
    assert "Traceback" not in system.console.read_text()
