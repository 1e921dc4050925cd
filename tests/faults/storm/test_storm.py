"""Random faults for minutes: two workers, two beats, and 20 policies with a run each minute."""

import logging
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.faults.system import RECOVERY_SECONDS, System
from tests.waiting import wait_for

log = logging.getLogger(__name__)

POLICIES = 20
PROCESSES = (("worker", "worker1"), ("worker", "worker2"), ("beat", "beat1"), ("beat", "beat2"))
# Pauses between faults.
PAUSE_SECONDS = (2.0, 8.0)
SLEEP_SECONDS = 45.0
LOOK_SECONDS = 1.0
# The longest time between two successes of a policy that is due each minute. On two cores, which start a new worker
# every few seconds, the 20 policies wait two minutes for each other, and a policy whose run loses its worker waits
# five.
LONGEST_PAUSE_SECONDS = 600.0
# The longest time without a heartbeat of a run's owner. Recovery takes up to RECOVERY_SECONDS from the last fault, and
# beats are killed during recovery too.
LONGEST_SILENCE_SECONDS = 3 * RECOVERY_SECONDS
# The share of runs that may fail because they lost three workers.
MOST_FAILED = 0.02
OUTAGE_SECONDS = 10.0


class Storm:
    """Causes random faults in a system and restores what is down after a while, as a supervisor would.

    longest_silence  the longest time in seconds that a running run had no heartbeat
    """

    def __init__(self, system: System, chance: random.Random) -> None:
        self.system, self.chance = system, chance
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.busy: set[str] = set()
        self.longest_silence = self.next_look = 0.0
        self.faults = [self.kill, self.kill, self.kill_child, self.sleep, self.terminate]
        self.faults += [self.restart_redis, self.empty_redis, self.stop_redis, self.stall_redis]
        if system.database:
            self.faults.append(self.hang_up)

    def run(self, seconds: float) -> None:
        over, next_fault = time.monotonic() + seconds, 0.0
        while time.monotonic() < over or self.later:
            if next_fault <= time.monotonic() < over:
                self.chance.choice(self.faults)()
                next_fault = time.monotonic() + self.chance.uniform(*PAUSE_SECONDS)
            self.look()
            self.come_back()
            time.sleep(0.05)  # The clock is polled.

    def look(self) -> None:
        if time.monotonic() >= self.next_look:
            self.longest_silence = max(self.longest_silence, silence(self.system))
            self.next_look = time.monotonic() + LOOK_SECONDS

    def come_back(self) -> None:
        due = [entry for entry in self.later if entry[0] <= time.monotonic()]
        for entry in due:
            self.later.remove(entry)
            entry[1]()

    def after(self, seconds: float, what: str, then: Callable[[], object]) -> None:
        def end() -> None:
            then()
            self.busy.discard(what)

        self.busy.add(what)
        self.later.append((time.monotonic() + seconds, end))

    def process(self, kind: str = "") -> tuple[str, str] | None:
        """Return a process of the kind that no fault affects now, or None."""
        free = [(of, name) for of, name in PROCESSES if of.startswith(kind) and name not in self.busy]
        return self.chance.choice(free) if free else None

    def kill(self) -> None:
        if found := self.process():
            kind, name = found
            self.log(f"SIGKILL of {name}")
            self.system.send_signal(name, signal.SIGKILL)
            self.system.processes[name].wait()
            self.after(self.chance.uniform(0, 5), name, lambda: self.system.launch(kind, name))

    def kill_child(self) -> None:
        if found := self.process("worker"):
            parent = self.system.processes[found[1]].pid
            for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
                self.log(f"SIGKILL of {found[1]}'s child")
                os.kill(int(child), signal.SIGKILL)

    def sleep(self) -> None:
        if found := self.process("worker"):
            name = found[1]
            self.log(f"SIGSTOP of {name}")
            self.system.send_signal(name, signal.SIGSTOP)
            self.after(SLEEP_SECONDS, name, lambda: self.system.send_signal(name, signal.SIGCONT))

    def terminate(self) -> None:
        if found := self.process():
            kind, name = found
            self.log(f"SIGTERM of {name}")
            process = self.system.processes[name]
            process.send_signal(signal.SIGTERM)

            def replace() -> None:
                # A supervisor kills a process that does not end in time.
                if process.poll() is None:
                    self.system.send_signal(name, signal.SIGKILL)
                    process.wait()
                self.system.launch(kind, name)

            self.after(20, name, replace)

    def restart_redis(self) -> None:
        if "redis" not in self.busy:
            self.log("Redis restarted")
            self.system.redis.restart()

    def empty_redis(self) -> None:
        if "redis" not in self.busy:
            self.log("Redis restarted empty")
            self.system.redis.restart(keeping=0)

    def stop_redis(self) -> None:
        if "redis" not in self.busy:
            self.log("Redis down")
            self.system.redis.kill()
            self.after(OUTAGE_SECONDS, "redis", self.system.redis.start)

    def stall_redis(self) -> None:
        if "redis" not in self.busy:
            self.log("Redis stalled")
            server = self.system.redis.process
            assert server is not None
            server.send_signal(signal.SIGSTOP)
            self.after(OUTAGE_SECONDS, "redis", lambda: server.send_signal(signal.SIGCONT))

    def hang_up(self) -> None:
        self.log("all database connections ended")
        with psycopg.connect(self.system.database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def log(self, what: str) -> None:
        log.info("%s", what)


def epoch(system: System, timestamp: str) -> str:
    """Return SQL for a timestamp in seconds since 1970."""
    return f"EXTRACT(EPOCH FROM {timestamp})" if system.database else f"86400 * (julianday({timestamp}) - 2440587.5)"


def silence(system: System) -> float:
    """Return the seconds since the oldest last heartbeat of the running runs."""
    now, shown = epoch(system, "now()" if system.database else "'now'"), epoch(system, "MIN(heartbeat_at)")
    [found] = system.query(f"SELECT {now} - {shown} AS seconds FROM rl_training_trainingrun WHERE status = 'running'")
    return float(found["seconds"] or 0)


def longest_pauses(system: System) -> list[float]:
    """Return for each policy with a success the longest time in seconds between successes, or until now."""
    statement = f"SELECT policy_id, {epoch(system, 'finished_at')} AS at FROM rl_training_trainingrun "
    ends: dict[int, list[float]] = defaultdict(list)
    for run in system.query(statement + "WHERE status = 'succeeded' ORDER BY finished_at"):
        ends[run["policy_id"]].append(float(run["at"]))
    return [max(after - before for before, after in pairwise([*times, time.time()])) for times in ends.values()]


def check_validation_ended(system: System) -> None:
    """Check that the validation has succeeded as one trial, and that each of its folds counts once."""

    def status() -> str:
        [row] = system.query("SELECT status FROM rl_training_validation")
        return str(row["status"])

    wait_for(lambda: status() not in ("queued", "running"), "the validation to end", 4 * RECOVERY_SECONDS)
    steps = system.query("SELECT kind, number FROM rl_training_validationstep ORDER BY kind, number")
    found = [(step["kind"], step["number"]) for step in steps]
    assert found == [*(("fold", number) for number in range(4)), ("judge", 0), ("prepare", 0)]
    assert status() == "succeeded"
    assert len(system.query("SELECT * FROM rl_training_trial")) == 1


def deployment_faults(system: System) -> list[str]:
    """Return the errors of the deployments: gaps, versions that never went live, lost files."""
    rows = system.query("SELECT * FROM rl_training_deployment ORDER BY policy_id, at")
    versions = system.query("SELECT id, policy_id, number, artifact FROM rl_training_policyversion")
    live, wrong = {row["version_id"] for row in rows}, []
    chains: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        chains[row["policy_id"]].append(row)
    for chain in chains.values():
        previous = [None, *(row["id"] for row in chain[:-1])]
        wrong += [
            f"deployment {row['id']}" for row, of in zip(chain, previous, strict=True) if row["previous_id"] != of
        ]
    for version in versions:
        name = f"version {version['number']} of policy {version['policy_id']}"
        wrong += [] if version["id"] in live else [f"{name} never went live"]
        files = system.folder / "artifacts" / version["artifact"] / "policy.safetensors"
        wrong += [] if files.exists() else [f"{name} has lost its files"]
    return wrong


@pytest.mark.long
def test_random_faults_lose_and_double_nothing(system, recovery, request):
    minutes = request.config.getoption("storm_minutes", 0.5)
    seed = random.SystemRandom().getrandbits(32)
    log.info("seed %s", seed)
    storm = Storm(system, random.Random(seed))
    system.schedule(POLICIES, episodes=10, interval_minutes=1)
    # Each version goes live in the transaction that ends its run, and no version may lose its files then.
    system.execute("UPDATE rl_training_policystore SET promotion = %s", "newest")
    system.manage("walk_forward", "rl_v3", "--folds", "4")
    for kind, name in PROCESSES:
        system.launch(kind, name)
    storm.run(60 * minutes)
    recovery.begins()
    before = system.count("finished_at IS NOT NULL")
    system.wait_for_runs(before + 1)
    recovery.ends()
    system.execute("UPDATE rl_training_policystore SET enabled = %s", False)

    def all_ended() -> bool:
        storm.look()
        return not system.count("finished_at IS NULL")

    wait_for(all_ended, "all runs to end", 4 * RECOVERY_SECONDS)
    log.info("longest silence of an owner %.1f s", storm.longest_silence)
    system.wait_until_invariants_hold(RECOVERY_SECONDS)
    assert deployment_faults(system) == []
    check_validation_ended(system)
    runs = system.runs()
    failed = [run["error"] for run in runs if run["status"] != "succeeded"]
    assert [error for error in failed if "attempts" not in error] == []
    assert len(failed) <= MOST_FAILED * len(runs)
    pauses = longest_pauses(system)
    assert len(pauses) == POLICIES
    assert max(pauses) <= LONGEST_PAUSE_SECONDS
    assert storm.longest_silence <= LONGEST_SILENCE_SECONDS
