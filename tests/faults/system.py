"""The whole system as real processes on private sockets, and the invariants that a test reads from outside."""

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

from tests.prepared import PreparedPython, Program
from tests.redis_server import RedisServer
from tests.slot_ledger import unaccounted
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
# Seconds from a fault, or from a dependency's return, to resumed work.
RECOVERY_SECONDS = 60
# A run of about two hundred iterations of a few milliseconds each: most of its time is spent in iterations.
STEPS = {"num_envs": 4, "rollout_length": 16}
PPO: dict[str, object] = STEPS | {"minibatch_size": 64, "hidden_sizes": [8], "epochs": 1, "device": "cpu"}
ENVIRONMENT = {"episode_length": 64}
EPISODES = 50
COMMANDS = {
    "worker": ("-m", "celery", "--quiet", "-A", "celery_app", "worker", "-Q", "training", "--concurrency", "1"),
    "beat": ("-m", "celery", "--quiet", "-A", "celery_app", "beat"),
}
# Lower time limits for the short form of the cases; `make faults` keeps the values of production.
SHORT_LIMITS = {
    "OWNER_HEARTBEAT_SECONDS": "1",
    "RUN_LOST_AFTER_SECONDS": "6",
    "BEAT_HOUSEKEEPING_SECONDS": "1",
    "STREAM_LOCK_SECONDS": "0.8",
    "EVENT_RELAY_AFTER_SECONDS": "1",
    "MESSAGE_RESEND_AFTER_SECONDS": "6",
}

Row = dict[str, Any]
Process = subprocess.Popen[bytes] | Program


@dataclass
class System:
    """A database, a Redis and any number of workers and beats in one folder.

    database   URL of a PostgreSQL database; SQLite in the folder if empty
    redis_url  where the processes look for Redis; the URL of `redis` if empty
    prepared   starts the processes as forks; None starts new interpreters
    limits     time limits that differ from the defaults, by the name of their environment variable
    """

    folder: Path
    database: str = ""
    redis_url: str = ""
    prepared: PreparedPython | None = None
    limits: dict[str, str] = field(default_factory=dict)
    redis: RedisServer = field(init=False)
    processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.redis = RedisServer(self.folder)

    def migrate(self) -> None:
        self.manage("migrate", "--noinput")

    def disable_policies(self) -> None:
        """Disable the policy that the migration inserts: it is due at once."""
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
            # Files that a killed process leaves are removed with the folder.
            "TMPDIR": str(self.folder),
            **dict.fromkeys(["MARKET_DATA_ROOT", "ARTIFACT_ROOT", "CHECKPOINT_ROOT", "FLOWER_URL", "FAULT"], ""),
            **self.limits,
        }

    def manage(self, *command: str, fault: str = "") -> str:
        """Run a management command and return its output; raise subprocess.CalledProcessError if it fails."""
        environment = self.environment | {"FAULT": fault}
        if self.prepared:
            return self.prepared.run(("manage.py", *command), environment)
        command = (sys.executable, "manage.py", *command)
        return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout

    def launch(self, kind: str, name: str = "", fault: str = "") -> Process:
        """Start a worker or a beat; its output is in the folder, under its name."""
        name = name or kind
        command = COMMANDS[kind]
        if kind == "worker":
            command += ("--hostname", f"{name}@{self.folder.name}", "--without-gossip", "--without-mingle")
        self.processes[name] = self.start(name, command, fault)
        return self.processes[name]

    def start(self, name: str, command: tuple[str, ...], fault: str = "") -> Process:
        """Start a Python program in a session of its own."""
        environment = self.environment | {"FAULT": fault}
        with (self.folder / f"{name}.log").open("ab") as output:
            if self.prepared:
                return self.prepared.start(command, environment, output, output)
            command = (sys.executable, *command)
            return subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the process and to all processes that it started."""
        os.killpg(self.processes[name].pid, number)

    @contextmanager
    def running(self) -> Iterator["System"]:
        """Start Redis, and stop everything at the end of the block."""
        try:
            self.disable_policies()
            self.redis.start()
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Kill everything, stopped processes too."""
        for process in self.processes.values():
            for number in (signal.SIGCONT, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            process.wait()
        if self.redis.process:
            self.redis.kill()

    def schedule(
        self, policies: int = 1, episodes: int = EPISODES, interval_minutes: int = 60 * 24, slot: datetime | None = None
    ) -> None:
        """Make `policies` policies with small runs due at `slot`.

        By default the policies have missed the slots of a month, the last slot a minute ago, so that the next slot is
        a whole interval away at any time of day.
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
            "enabled, episodes_per_run, interval_minutes, start_from, seeds, min_new_bars, promotion, "
            "must_beat, revalidate_days, fallback, demotion_bars, drawdown_limit, "
            "stall_limit_minutes, run_limit_minutes, market, environment, ppo, "
            "updated_at, next_run_at, total_runs, succeeded_runs, schedule_error"
        )
        self.execute(
            f"INSERT INTO rl_training_policystore (name, {columns}) "
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < %s) "
            f"SELECT 'policy_' || n, {columns} FROM rl_training_policystore, number WHERE name = 'rl_v3' AND n > 1",
            policies,
        )

    def set_next_slot(self, slot: datetime) -> None:
        """Set the next slot of all policies."""
        self.execute("UPDATE rl_training_policystore SET next_run_at = %s", self.stored(slot))

    def set_clock(self, ahead: timedelta) -> None:
        """Set how far the clock that the project reads is ahead of the machine's, for all processes."""
        temporary = self.folder / "clock.new"
        temporary.write_text(str(ahead.total_seconds()))
        temporary.rename(self.folder / "clock")

    def wait_for_fault(self, point: str) -> None:
        """Wait until the fault at `point` has taken effect. Its limit allows for the start of a worker."""
        happened = self.folder / f"{point}.happened"
        wait_for(happened.exists, f"the fault at {point}", 3 * RECOVERY_SECONDS)
        wait_for(lambda: has_taken_effect(happened.read_text()), f"the effect of the fault at {point}")

    def launch_until(self, fault: str, policies: int = 1) -> None:
        """Start a worker with the fault, due policies and a beat, and wait until the fault has taken effect."""
        self.launch("worker", fault=fault)
        self.schedule(policies)
        self.launch("beat")
        self.wait_for_fault(fault.split(":")[0])

    def runs(self) -> list[Row]:
        return self.query("SELECT * FROM rl_training_trainingrun ORDER BY id")

    def wait_for_runs(self, count: int = 1, seconds: float = RECOVERY_SECONDS) -> list[Row]:
        """Return the ended runs, once there are at least `count`."""
        wait_for(lambda: self.count("finished_at IS NOT NULL") >= count, f"{count} ended runs", seconds)
        return [run for run in self.runs() if run["finished_at"] is not None]

    def count(self, condition: str) -> int:
        """Return the number of runs for which the SQL condition holds; reading the rows would take much longer."""
        [found] = self.query(f"SELECT COUNT(*) AS runs FROM rl_training_trainingrun WHERE {condition}")
        return int(found["runs"])

    def wait_for_attempt(self, attempt: int) -> None:
        """Wait until a worker has claimed the only run for the `attempt`-th time."""
        wait_for(lambda: self.runs()[0]["attempt"] >= attempt, f"attempt {attempt}", 2 * RECOVERY_SECONDS)

    def events(self) -> list[dict[str, str]]:
        """Return all entries of all started and completed streams."""
        client: Any = self.redis.client
        streams = [key for key in client.keys("*.training.*") if ":" not in key and not key.endswith(".progress")]
        return [fields for stream in sorted(streams) for _, fields in client.xrange(stream)]

    def doubled(self) -> list[str]:
        """Return descriptions of doubled events and runs."""
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
        """Return descriptions of missing events, and of events without a run in that state."""
        runs = {run["run_id"]: run for run in self.runs()}
        announced = self._announced()
        expected = {(run_id, "started") for run_id, run in runs.items() if run["started_at"] is not None}
        expected |= {(run_id, "completed") for run_id, _ in expected if runs[run_id]["finished_at"] is not None}
        found = [f"run {run} has no {kind} event" for run, kind in sorted(expected - announced.keys())]
        return found + [f"the {kind} event of run {run} is wrong" for run, kind in sorted(announced.keys() - expected)]

    def violations(self) -> list[str]:
        """Return descriptions of the invariants that do not hold."""
        return self.lost() + self.doubled() + unaccounted(self.query)

    def _announced(self) -> Counter[tuple[str, str]]:
        """Count the distinct events of each run and kind."""
        distinct = {event["event_id"]: event for event in self.events()}.values()
        return Counter((event["trace_id"], event["event_type"].rsplit(".", 1)[1]) for event in distinct)

    def wait_until_invariants_hold(self, seconds: float = 10) -> None:
        with suppress(TimeoutError):
            wait_for(lambda: not self.violations(), "the invariants to hold", seconds)
        assert self.violations() == []

    def weights(self) -> list[str]:
        """Return the digests of the policy versions' weights, oldest first."""
        return [row["sha256"] for row in self.query("SELECT sha256 FROM rl_training_policyversion ORDER BY id")]

    def query(self, statement: str, *given: Any) -> list[Row]:
        with self._cursor() as cursor:
            cursor.execute(self._dialect(statement), given)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, statement: str, *given: Any) -> None:
        with self._cursor() as cursor:
            cursor.execute(self._dialect(statement), given)

    def stored(self, time: datetime) -> str:
        """Return the timestamp as Django stores it in this database."""
        time = time.astimezone(UTC)
        return str(time if self.database else time.replace(tzinfo=None))

    def _dialect(self, statement: str) -> str:
        return statement if self.database else statement.replace("%s", "?")

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        if self.database:
            with psycopg.connect(self.database, autocommit=True) as server, server.cursor() as cursor:
                yield cursor
            return
        path = self.folder / "db.sqlite3"
        with closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as file:
            yield file.cursor()


def has_taken_effect(fault: str) -> bool:
    """Return whether the process has sent itself the signal; `fault` is "PID SIGNAL". SIGSTOP takes a little longer."""
    pid, name = (*fault.split(), "", "")[:2]
    if name != "SIGSTOP":
        return bool(name)
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
