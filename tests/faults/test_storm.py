"""Faults at random for a long time: two workers and two beats, 20 policies with a run each minute."""

import logging
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.faults.system import RECOVERY_SECONDS, System
from tests.waiting import wait_for

log = logging.getLogger(__name__)

POLICIES = 20
PROCESSES = (("worker", "worker1"), ("worker", "worker2"), ("beat", "beat1"), ("beat", "beat2"))
# Between two faults.
PAUSE_SECONDS = (2.0, 8.0)
SLEEP_SECONDS = 45.0
LOOK_SECONDS = 1.0
OUTAGE_SECONDS = 10.0


class Storm:
    """Lets faults happen to a system, and what is down come back after a while, as a supervisor would see to.

    `longest_silence` is for how many seconds a running run had no owner who showed himself, at most.
    """

    def __init__(self, system: System, chance: random.Random) -> None:
        self.system, self.chance = system, chance
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.busy: set[str] = set()
        self.longest_silence = 0.0
        self.faults = [self.kill, self.kill, self.kill_child, self.sleep, self.terminate]
        self.faults += [self.restart_redis, self.empty_redis, self.stop_redis, self.stall_redis]
        if system.database:
            self.faults.append(self.hang_up)

    def blow(self, seconds: float) -> None:
        over, next_fault, next_look = time.monotonic() + seconds, 0.0, 0.0
        while time.monotonic() < over:
            if time.monotonic() >= next_fault:
                self.chance.choice(self.faults)()
                next_fault = time.monotonic() + self.chance.uniform(*PAUSE_SECONDS)
            if time.monotonic() >= next_look:
                self.longest_silence = max(self.longest_silence, silence(self.system))
                next_look = time.monotonic() + LOOK_SECONDS
            self.come_back()
            time.sleep(0.05)  # between two looks at the clock
        while self.later:
            self.come_back()
            time.sleep(0.05)

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
        """One that nothing happens to yet, told of."""
        free = [(of, name) for of, name in PROCESSES if of.startswith(kind) and name not in self.busy]
        return self.chance.choice(free) if free else None

    def kill(self) -> None:
        if found := self.process():
            kind, name = found
            self.tell(f"SIGKILL of {name}")
            self.system.send_signal(name, signal.SIGKILL)
            self.system.processes[name].wait()
            self.after(self.chance.uniform(0, 5), name, lambda: self.system.launch(kind, name))

    def kill_child(self) -> None:
        if found := self.process("worker"):
            parent = self.system.processes[found[1]].pid
            for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
                self.tell(f"SIGKILL of {found[1]}'s child")
                os.kill(int(child), signal.SIGKILL)

    def sleep(self) -> None:
        if found := self.process("worker"):
            name = found[1]
            self.tell(f"SIGSTOP of {name}")
            self.system.send_signal(name, signal.SIGSTOP)
            self.after(SLEEP_SECONDS, name, lambda: self.system.send_signal(name, signal.SIGCONT))

    def terminate(self) -> None:
        if found := self.process():
            kind, name = found
            self.tell(f"SIGTERM of {name}")
            process = self.system.processes[name]
            process.send_signal(signal.SIGTERM)

            def replace() -> None:
                # As a supervisor does with one that does not end in time.
                if process.poll() is None:
                    self.system.send_signal(name, signal.SIGKILL)
                    process.wait()
                self.system.launch(kind, name)

            self.after(20, name, replace)

    def restart_redis(self) -> None:
        if "redis" not in self.busy:
            self.tell("Redis restarted")
            self.system.redis.restart()

    def empty_redis(self) -> None:
        if "redis" not in self.busy:
            self.tell("Redis restarted empty")
            self.system.redis.restart(keeping=0)

    def stop_redis(self) -> None:
        if "redis" not in self.busy:
            self.tell("Redis down")
            self.system.redis.kill()
            self.after(OUTAGE_SECONDS, "redis", self.system.redis.start)

    def stall_redis(self) -> None:
        if "redis" not in self.busy:
            self.tell("Redis stalled")
            server = self.system.redis.process
            assert server is not None
            server.send_signal(signal.SIGSTOP)
            self.after(OUTAGE_SECONDS, "redis", lambda: server.send_signal(signal.SIGCONT))

    def hang_up(self) -> None:
        self.tell("all database connections ended")
        with psycopg.connect(self.system.database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def tell(self, what: str) -> None:
        log.info("%s", what)


def silence(system: System) -> float:
    """The seconds since the last sign of life of the running run that has shown none for the longest time."""
    since = (
        "EXTRACT(EPOCH FROM now() - MIN(heartbeat_at))"
        if system.database
        else "86400 * (julianday('now') - julianday(MIN(heartbeat_at)))"
    )
    [found] = system.query(f"SELECT {since} AS seconds FROM rl_training_trainingrun WHERE status = 'running'")
    return float(found["seconds"] or 0)


@pytest.mark.long
def test_faults_come_at_random(system, recovery, request):
    minutes = request.config.getoption("storm_minutes", 0.5)
    seed = random.SystemRandom().getrandbits(32)
    log.info("seed %s", seed)
    storm = Storm(system, random.Random(seed))
    system.schedule(POLICIES, episodes=10, interval_minutes=1)
    for kind, name in PROCESSES:
        system.launch(kind, name)
    storm.blow(60 * minutes)
    recovery.seconds.append(storm.longest_silence)
    recovery.begins()
    before = len(system.wait_for_runs())
    system.wait_for_runs(before + 1)
    recovery.ends()
    system.execute("UPDATE rl_training_policystore SET enabled = %s", False)
    wait_for(lambda: all(run["finished_at"] for run in system.runs()), "all runs to end", 4 * RECOVERY_SECONDS)
    system.wait_until_all_holds(RECOVERY_SECONDS)
    failed = [(run["run_id"], run["error"]) for run in system.runs() if run["status"] != "succeeded"]
    assert [error for _, error in failed if "attempts" not in error] == []
    assert len({run["policy_id"] for run in system.runs()}) == POLICIES
    assert storm.longest_silence <= RECOVERY_SECONDS
