"""The whole system as real processes on private sockets, and what must hold of it, read from outside."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from tests.redis_server import RedisServer
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
# Seconds from a fault, or from a dependency's return, to resumed work.
RECOVERY_SECONDS = 60
# A run of about two hundred iterations of a few milliseconds, most of whose time is theirs.
PPO = {"num_envs": 4, "rollout_length": 16, "minibatch_size": 64, "hidden_sizes": [8], "epochs": 1, "device": "cpu"}
ENVIRONMENT = {"episode_length": 64}
EPISODES = 50
COMMANDS = {
    "worker": ("-m", "celery", "--quiet", "-A", "celery_app", "worker", "-Q", "training", "--concurrency", "1"),
    "beat": ("-m", "celery", "--quiet", "-A", "celery_app", "beat"),
}

Row = dict[str, Any]


@dataclass
class System:
    """A database, a Redis and any number of workers and beats on a folder of their own.

    database   the address of a PostgreSQL database; SQLite in the folder where empty
    redis_url  where the processes look for Redis; the server's own address where empty
    """

    folder: Path
    database: str = ""
    redis_url: str = ""
    redis: RedisServer = field(init=False)
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.redis = RedisServer(self.folder)

    def migrate(self) -> None:
        self.manage("migrate", "--noinput")
        # Off until a test wants it: the migration's policy is due from the first moment on.
        self.execute("UPDATE rl_training_policystore SET enabled = %s", False)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
            "STATE_DIR": str(self.folder),
            "DATABASE_URL": self.database,
            "REDIS_URL": self.redis_url or self.redis.url,
            "SECRET_KEY": "for tests only",
            "ALLOWED_HOSTS": "localhost",
            "DEBUG": "0",
            "OMP_NUM_THREADS": "1",
            "TRAINING_THREADS": "1",
            # What a process that is killed leaves there goes with the folder.
            "TMPDIR": str(self.folder),
            **dict.fromkeys(["MARKET_DATA_ROOT", "ARTIFACT_ROOT", "CHECKPOINT_ROOT", "FLOWER_URL", "FAULT"], ""),
        }

    def manage(self, *command: str, fault: str = "") -> str:
        finished = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=self.environment | {"FAULT": fault},
            check=True,
            capture_output=True,
            text=True,
        )
        return finished.stdout

    def launch(self, kind: str, name: str = "", fault: str = "") -> "subprocess.Popen[bytes]":
        """Start a worker or a beat; its output is in the folder, under its name."""
        name = name or kind
        command = [sys.executable, *COMMANDS[kind]]
        if kind == "worker":
            command += ["--hostname", f"{name}@{self.folder.name}", "--without-gossip", "--without-mingle"]
        with (self.folder / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment | {"FAULT": fault},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self.processes[name]

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """To the process and all that it started."""
        os.killpg(self.processes[name].pid, number)

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        for process in self.processes.values():
            for number in (signal.SIGCONT, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    continue
            process.wait()
        self.redis.kill()

    def schedule(
        self,
        policies: int = 1,
        episodes: int = EPISODES,
        interval_minutes: int = 60 * 24,
        slot: datetime | None = None,
    ) -> None:
        """Let so many policies be due at `slot`, with runs that are small.

        By default they have missed all slots of a month, the last one a minute ago: the next is an interval away,
        whatever the time of day.
        """
        slot = slot or datetime.now(UTC) - timedelta(days=30, minutes=1)
        self.execute(
            "UPDATE rl_training_policystore SET enabled = %s, episodes_per_run = %s, interval_minutes = %s, "
            "environment = %s, ppo = %s, next_run_at = %s",
            True,
            episodes,
            interval_minutes,
            json.dumps(ENVIRONMENT),
            json.dumps(PPO),
            self.stored(slot),
        )
        columns = (
            "enabled, episodes_per_run, interval_minutes, stall_limit_minutes, run_limit_minutes, market, environment, "
            "ppo, updated_at, next_run_at, total_runs, succeeded_runs, schedule_error"
        )
        self.execute(
            f"INSERT INTO rl_training_policystore (name, {columns}) "
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < %s) "
            f"SELECT 'policy_' || n, {columns} FROM rl_training_policystore, number WHERE name = 'rl_v3' AND n > 1",
            policies,
        )

    def be_due(self, slot: datetime) -> None:
        """Let the next slot of all policies be that one."""
        self.execute("UPDATE rl_training_policystore SET next_run_at = %s", self.stored(slot))

    def set_clock(self, ahead: timedelta) -> None:
        """Let the clock of all processes, as the project reads it, be ahead of the machine's by so much."""
        temporary = self.folder / "clock.new"
        temporary.write_text(str(ahead.total_seconds()))
        temporary.rename(self.folder / "clock")

    def wait_for_fault(self, point: str) -> None:
        """Until the fault has happened that a process was launched with: the start of a worker is no recovery."""
        happened = self.folder / f"{point}.happened"
        wait_for(happened.exists, f"the fault at {point}", 3 * RECOVERY_SECONDS)
        wait_for(lambda: has_come_about(happened.read_text()), f"what the fault at {point} does")

    def launch_until(self, fault: str, policies: int = 1) -> None:
        """A worker that the fault will happen to, runs for it and a beat, until the fault has happened."""
        self.launch("worker", fault=fault)
        self.schedule(policies)
        self.launch("beat")
        self.wait_for_fault(fault.split(":")[0])

    def runs(self) -> list[Row]:
        return self.query("SELECT * FROM rl_training_trainingrun ORDER BY id")

    def wait_for_runs(self, count: int = 1, seconds: float = RECOVERY_SECONDS) -> list[Row]:
        """The runs that have ended, once they are so many."""
        wait_for(lambda: self.count("finished_at IS NOT NULL") >= count, f"{count} ended runs", seconds)
        return [run for run in self.runs() if run["finished_at"] is not None]

    def count(self, condition: str) -> int:
        """The number of runs of which that holds: asking for the rows themselves takes a processor from the system."""
        [found] = self.query(f"SELECT COUNT(*) AS runs FROM rl_training_trainingrun WHERE {condition}")
        return int(found["runs"])

    def wait_for_attempt(self, attempt: int) -> None:
        """Until a worker has taken up the only run for that time."""
        wait_for(lambda: self.runs()[0]["attempt"] >= attempt, f"attempt {attempt}", 2 * RECOVERY_SECONDS)

    def events(self) -> list[dict[str, str]]:
        """All entries of all started and completed streams."""
        streams = [
            key for key in self.redis.client.keys("*.training.*") if ":" not in key and not key.endswith(".progress")
        ]
        return [fields for stream in sorted(streams) for _, fields in self.redis.client.xrange(stream)]

    def doubled(self) -> list[str]:
        """What is there twice and must not be."""
        runs = self.runs()
        ids = Counter(event["event_id"] for event in self.events())
        announced = self._announced()
        slots = Counter((run["policy_id"], str(run["scheduled_for"])) for run in runs if run["scheduled_for"])
        active = Counter(run["policy_id"] for run in runs if run["status"] in ("queued", "running"))
        found = [f"event {event} is on its stream {count} times" for event, count in ids.items() if count > 1]
        found += [f"run {run} has {count} {kind} events" for (run, kind), count in announced.items() if count > 1]
        found += [f"slot {slot} has {count} runs" for slot, count in slots.items() if count > 1]
        found += [f"policy {policy} has {count} active runs" for policy, count in active.items() if count > 1]
        return found

    def lost(self) -> list[str]:
        """Events that are missing, and those of runs that are not there (any more) or did not come so far."""
        runs = {run["run_id"]: run for run in self.runs()}
        announced = self._announced()
        expected = {(run_id, "started") for run_id, run in runs.items() if run["started_at"] is not None}
        expected |= {(run_id, "completed") for run_id, _ in expected if runs[run_id]["finished_at"] is not None}
        found = [f"run {run} has no {kind} event" for run, kind in sorted(expected - announced.keys())]
        return found + [f"the {kind} event of run {run} is wrong" for run, kind in sorted(announced.keys() - expected)]

    def violations(self) -> list[str]:
        """What must hold after every fault and does not; nothing when all is well."""
        return self.lost() + self.doubled()

    def _announced(self) -> Counter[tuple[str, str]]:
        """How many distinct events of each kind each run has."""
        distinct = {event["event_id"]: event for event in self.events()}.values()
        return Counter((event["trace_id"], event["event_type"].rsplit(".", 1)[1]) for event in distinct)

    def wait_until_all_holds(self, seconds: float = 10) -> None:
        with suppress(TimeoutError):
            wait_for(lambda: not self.violations(), "all to hold", seconds)
        assert self.violations() == []

    def weights(self) -> list[str]:
        """The digests of the policy versions' weights."""
        return [row["sha256"] for row in self.query("SELECT sha256 FROM rl_training_policyversion ORDER BY id")]

    def query(self, statement: str, *given: Any) -> list[Row]:
        with self._cursor() as cursor:
            cursor.execute(self._written(statement), given)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, statement: str, *given: Any) -> None:
        with self._cursor() as cursor:
            cursor.execute(self._written(statement), given)

    def stored(self, moment: datetime) -> str:
        """As Django writes it."""
        moment = moment.astimezone(UTC)
        return str(moment if self.database else moment.replace(tzinfo=None))

    def _written(self, statement: str) -> str:
        return statement if self.database else statement.replace("%s", "?")

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        if self.database:
            with psycopg.connect(self.database, autocommit=True) as connection, connection.cursor() as cursor:
                yield cursor
            return
        path = self.folder / "db.sqlite3"
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as connection:
            yield connection.cursor()


def has_come_about(fault: str) -> bool:
    """`fault`: the number of a process and the signal that it was about to send itself; a stopped one stands still."""
    pid, name = (*fault.split(), "", "")[:2]
    if name != "SIGSTOP":
        return bool(name)
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
