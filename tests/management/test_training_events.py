"""`manage.py training_events` as a process: its output and its end."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from django.core.management import CommandError, call_command

from tests import databases
from tests.prepared import PreparedPython, Program
from tests.redis_server import RedisServer
from tests.waiting import wait_for

pytestmark = pytest.mark.system

STARTED = "rl_v3.training.started"


@dataclass
class System:
    """A database with the policy rl_v3, and a Redis."""

    environment: dict[str, str]
    folder: Path
    redis: RedisServer
    python: PreparedPython

    def publish(self, name: str) -> None:
        self.redis.client.xadd(STARTED, {"event_id": name, "payload": "{}"})

    def training_events(self, *options: str, output: IO[bytes], errors: IO[bytes]) -> Program:
        return self.python.start(["manage.py", "training_events", *options], self.environment, output, errors)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory, python) -> System:
    folder = tmp_path_factory.mktemp("system")
    databases.copy_template(folder)
    server = RedisServer(folder)
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        "STATE_DIR": str(folder),
        "DATABASE_URL": "",
        "REDIS_URL": server.url,
        "PYTHONUNBUFFERED": "",
    }
    return System(environment, folder, server, python)


@pytest.fixture
def system(migrated: System) -> Iterator[System]:
    migrated.redis.start()
    migrated.redis.client.flushall()
    yield migrated
    migrated.redis.kill()


@dataclass
class Follower:
    """A process of `training_events --follow`."""

    process: Program
    output: Path

    def printed(self) -> list[str]:
        return [json.loads(line)["event_id"] for line in self.output.read_text().splitlines()]

    def prints(self, *names: str) -> None:
        wait_for(lambda: self.printed() == list(names) or self.process.poll() is not None, f"{names} to be printed")
        assert self.printed() == list(names), self.output.with_suffix(".err").read_text()


@pytest.fixture
def follow(system: System) -> "Iterator[object]":
    followers: list[Follower] = []

    def start(*options: str) -> Follower:
        output = system.folder / f"{len(followers)}.out"
        with output.open("wb") as out, output.with_suffix(".err").open("wb") as errors:
            process = system.training_events("--follow", *options, output=out, errors=errors)
        followers.append(Follower(process, output))
        return followers[-1]

    yield start
    for follower in followers:
        follower.process.kill()
        follower.process.wait()


def test_consumer_prints_acknowledges_and_ends_cleanly(system, follow):
    system.publish("a")
    follower = follow("--group", "audit", "rl_v3")
    follower.prints("a")
    system.publish("b")
    follower.prints("a", "b")
    follower.process.send_signal(signal.SIGTERM)
    assert follower.process.wait(10) == 0
    assert follower.output.with_suffix(".err").read_text() == ""
    assert system.redis.client.xpending(STARTED, "audit")["pending"] == 0


def test_consumer_survives_redis_that_comes_back_empty(system, follow):
    system.publish("a")
    follower = follow("--group", "audit")
    follower.prints("a")
    system.redis.kill()
    wait_for(lambda: "Redis is away" in follower.output.with_suffix(".err").read_text(), "the consumer to notice")
    system.redis.append_only_file.write_bytes(b"")
    system.redis.start()
    system.publish("b")
    follower.prints("a", "b")
    system.redis.restart()
    system.publish("c")
    follower.prints("a", "b", "c")


def test_entry_of_killed_consumer_is_printed_by_another(system, follow):
    system.redis.client.xgroup_create(STARTED, "audit", "0", mkstream=True)
    system.publish("a")
    system.redis.client.xreadgroup("audit", "killed", {STARTED: ">"})
    follow("--group", "audit", "--claim-after", "0.1").prints("a")


def test_follower_without_group_ends_cleanly(system, follow):
    system.publish("a")
    follower = follow("rl_v3")
    follower.prints("a")
    system.publish("b")
    system.publish("c")
    follower.prints("a", "b", "c")
    follower.process.send_signal(signal.SIGINT)
    assert follower.process.wait(10) == 0


@pytest.mark.parametrize("options", [[], ["--follow", "--group", "audit"]])
def test_closed_pipe_ends_command_silently(system, options):
    for number in range(5):
        system.publish(str(number))
    reading, writing = os.pipe()
    os.close(reading)
    errors = system.folder / "closed.err"
    with open(writing, "wb") as output, errors.open("wb") as complaints:
        process = system.training_events(*options, output=output, errors=complaints)
    assert process.wait(30) == 0
    assert errors.read_text() == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["--group", "audit"], "--group needs --follow"),
        (["--follow", "rl_v4"], "unknown policy 'rl_v4'; known policies: rl_v3"),
        (["--follow", "--group", "audit", "--claim-after", "soon"], "'soon' is not a number of seconds"),
    ],
)
def test_wrong_usage_is_refused_with_reason(policy, command, reason):
    with pytest.raises(CommandError, match=reason):
        call_command("training_events", *command)
