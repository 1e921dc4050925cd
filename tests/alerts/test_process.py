"""The process `alerts` as `make up` starts it, with Redis and without."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from quantum_trader.processes import BASE_DIR, COMMANDS
from tests import databases
from tests.prepared import PreparedPython
from tests.redis_server import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.system

FAIL = """
from datetime import timedelta
from django.utils import timezone
from rl_training.alerts.models import AlertChannel
from rl_training.models import PolicyStore, TrainingEvent, TrainingRun

policy, now = PolicyStore.objects.get(name="rl_v3"), timezone.now()
run = TrainingRun.objects.create(
    policy=policy, trigger="schedule", episodes=2, config={}, status="failed", error="no bars", finished_at=now
)
TrainingEvent.objects.create(
    event_type="rl_v3.training.started", run=run, payload={}, timestamp=now - timedelta(minutes=2)
)
PolicyStore.objects.update(total_runs=1)
channel = AlertChannel(name="pager")
channel.address = "ADDRESS"
channel.save()
"""
SUCCEED = """
from django.utils import timezone
from rl_training.models import PolicyStore, TrainingRun

policy = PolicyStore.objects.get(name="rl_v3")
TrainingRun.objects.create(
    policy=policy, trigger="schedule", episodes=2, config={}, status="succeeded", finished_at=timezone.now()
)
PolicyStore.objects.update(total_runs=2)
"""


class System:
    """A migrated database, a Redis server, and the process `alerts`."""

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
            "LOG_LEVEL": "DEBUG",
            "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        }

    def manage(self, *command: str) -> None:
        self.python.run(("manage.py", *command), self.environment)

    def start(self) -> psutil.Popen:
        with self.console.open("w") as console:
            return psutil.Popen(
                COMMANDS["alerts"], cwd=BASE_DIR, env=self.environment, stdout=console, stderr=subprocess.STDOUT
            )


@pytest.fixture
def system(tmp_path: Path, python: PreparedPython, environment_of_processes: dict[str, str]) -> Iterator[System]:
    system = System(tmp_path, python, environment_of_processes)
    yield system
    system.redis.kill()


def test_process_sends_alerts_with_redis_and_without(system, receiver):
    system.manage("shell", "-c", FAIL.replace("ADDRESS", receiver.address("s3cret")))
    process = system.start()
    try:
        wait_for(lambda: receiver.messages, "the first message", 60)
        [message] = receiver.messages
        assert message["title"] == "2 alert messages"
        assert "rl_v3: a run failed" in message["message"]
        assert "system: events wait for Redis" in message["message"]
        system.redis.client.shutdown(nosave=True)
        system.manage("shell", "-c", SUCCEED)
        wait_for(lambda: len(receiver.messages) > 1, "the second message", 60)
        assert receiver.titles[1] == "Resolved: rl_v3: a run failed"
        # The process has imported apprise, which takes 45 MB.
        assert process.memory_info().rss < 200e6
        assert not any("libtorch" in mapped.path for mapped in process.memory_maps())
    finally:
        process.terminate()
        process.wait(20)
    output = system.console.read_text()
    assert "Alert message sent" in output
    assert "Task rl_training.alerts.tasks.deliver" in output
    assert "s3cret" not in output
