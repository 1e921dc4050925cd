"""What must not matter: the fault at each moment of a run's life, with real processes and signals."""

import os
import signal
import time
from functools import partial

import pytest
from celery import Celery

from quantum_trader.redis_clients import broker_url
from tests.faults.outcome import all_end_as_if_nothing_had_happened, child_of, logged, resumed_at
from tests.faults.recovery import Recovery
from tests.faults.system import RECOVERY_SECONDS, System
from tests.waiting import wait_for

ITERATIONS = 200  # of a run that System.schedule() makes
EPISODE = 4  # iterations from one episode's end, and checkpoint, to the next
FILES = 40  # that it writes at least


def recovers(system: System, recovery: Recovery, fault: str, attempts: int) -> None:
    system.launch_until(fault)
    recovery.begins()
    system.wait_for_attempt(attempts)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [attempts])


def little_was_repeated(system: System, iteration: int) -> None:
    """A run that was interrupted in that iteration went on from the last episode's end, or from a later checkpoint."""
    assert (iteration - 1) // EPISODE * EPISODE <= resumed_at(system) < iteration


@pytest.mark.parametrize(
    ("fault", "attempts", "resumed"),
    [
        ("before_claim:1:SIGKILL", 1, 0),
        pytest.param("claimed:1:SIGKILL", 2, 0, marks=pytest.mark.long),
        pytest.param("iteration:1:SIGKILL", 2, 0, marks=pytest.mark.long),
        pytest.param(f"iteration:{ITERATIONS}:SIGKILL", 2, ITERATIONS - EPISODE, marks=pytest.mark.long),
        pytest.param("artifact_stored:1:SIGKILL", 2, ITERATIONS, marks=pytest.mark.long),
    ],
    ids=[
        "before it claims its run",
        "just after",
        "first iteration",
        "last iteration",
        "before it commits its version",
    ],
)
def test_a_training_process_is_killed(system, recovery, fault, attempts, resumed):
    recovers(system, recovery, fault, attempts)
    assert resumed <= resumed_at(system) < resumed + EPISODE


def test_a_training_process_is_killed_between_its_commit_and_its_event(system, recovery):
    system.launch_until("before_relay:2:SIGKILL")
    recovery.begins()
    wait_for(lambda: not system.violations(), "the event to be on its stream", RECOVERY_SECONDS)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [1])


def test_a_training_process_is_killed_at_a_random_iteration(system, recovery, chance):
    iteration = chance.randrange(1, ITERATIONS)
    recovers(system, recovery, f"iteration:{iteration}:SIGKILL", 2)
    little_was_repeated(system, iteration)


@pytest.mark.long
def test_a_training_process_is_killed_while_it_writes_a_random_file(system, recovery, chance):
    recovers(system, recovery, f"file_written:{chance.randrange(1, FILES)}:SIGKILL", 2)


def another_worker_takes_it_up(system: System, recovery: Recovery) -> None:
    recovery.begins()
    system.launch("worker", "other")
    system.wait_for_attempt(2)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [2])


@pytest.mark.long
def test_a_whole_worker_is_killed_at_a_random_iteration(system, recovery, chance):
    iteration = chance.randrange(1, ITERATIONS)
    system.launch_until(f"iteration:{iteration}:SIGSTOP")
    system.send_signal("worker", signal.SIGKILL)
    another_worker_takes_it_up(system, recovery)
    little_was_repeated(system, iteration)


@pytest.mark.long
def test_a_training_process_that_stands_still_loses_its_run_and_its_place(system, recovery):
    system.launch_until("iteration:50:SIGSTOP")
    recovery.begins()
    system.wait_for_attempt(2)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [2])
    little_was_repeated(system, 50)


@pytest.mark.long
def test_a_worker_sleeps_for_45_seconds_and_wakes_while_another_has_its_run(system, recovery):
    system.launch_until("iteration:50:SIGSTOP")
    system.send_signal("worker", signal.SIGSTOP)
    awake_at = time.monotonic() + 45
    recovery.begins()
    # Stops with a checkpoint of its own written, and goes on once the first worker has noticed.
    system.launch("worker", "other", fault="file_written:3:SIGSTOP")
    system.wait_for_attempt(2)
    recovery.ends()
    system.wait_for_fault("file_written")
    sleeper, owner = child_of(system, "worker"), child_of(system, "other")
    wait_for(lambda: time.monotonic() >= awake_at, "the sleeper to wake", 46)
    # Its parent, which would end it, sleeps on until it has tried to write.
    os.kill(sleeper, signal.SIGCONT)
    wait_for(lambda: logged(system, "worker", "The run is another's by now"), "the sleeper to notice")
    system.send_signal("worker", signal.SIGCONT)
    os.kill(owner, signal.SIGCONT)
    all_end_as_if_nothing_had_happened(system, [2])


@pytest.mark.long
def test_a_run_loses_its_worker_each_time_and_fails_and_the_others_go_on(system, recovery):
    system.schedule(policies=3, episodes=1)
    system.execute("UPDATE rl_training_policystore SET episodes_per_run = 100000 WHERE name = 'rl_v3'")
    for kind in ("worker", "beat"):
        system.launch(kind)
    for attempt in (1, 2, 3):
        wait_for(partial(trains, system, attempt), f"attempt {attempt}", 3 * RECOVERY_SECONDS)
        os.kill(child_of(system, "worker"), signal.SIGKILL)
    runs = system.wait_for_runs(3, seconds=2 * RECOVERY_SECONDS)
    outcomes = sorted((run["status"], run["error"]) for run in runs)
    assert outcomes == [("failed", "worker lost in 3 attempts"), ("succeeded", ""), ("succeeded", "")]
    system.wait_until_all_holds()


def trains(system: System, attempt: int) -> bool:
    """Whether the run without an end is under way for that time."""
    return any(
        run["status"] == "running" and run["attempt"] == attempt and run["iterations_done"] for run in system.runs()
    )


@pytest.mark.long
def test_a_worker_is_told_to_stop_together_with_its_training_process(system, recovery):
    system.launch_until("iteration:100:SIGSTOP")
    system.send_signal("worker", signal.SIGTERM)
    system.send_signal("worker", signal.SIGCONT)
    assert system.processes["worker"].wait(20) == 0
    [run] = system.runs()
    assert (run["status"], run["workers_lost"]) == ("queued", 0)
    another_worker_takes_it_up(system, recovery)


@pytest.mark.long
def test_a_training_process_is_stopped_before_it_has_claimed_a_run(system, recovery):
    system.launch_until("before_claim:1:SIGSTOP")
    recovery.begins()
    system.wait_for_attempt(1)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [1])


@pytest.mark.long
def test_a_task_is_terminated_as_flower_does_it(system, recovery):
    system.launch_until("iteration:100:SIGSTOP")
    [run] = system.runs()
    with Celery(broker=broker_url(system.redis.url)) as app:
        app.control.revoke(run["run_id"], terminate=True)
    os.kill(child_of(system, "worker"), signal.SIGCONT)
    [run] = system.wait_for_runs()
    assert (run["status"], run["workers_lost"]) == ("cancelled", 0)
    system.wait_until_all_holds()


def test_a_worker_that_is_told_to_stop_at_a_random_iteration_hands_its_run_over(system, recovery, chance):
    iteration = chance.randrange(1, ITERATIONS - 50)
    system.launch_until(f"iteration:{iteration}:SIGSTOP")
    worker = system.processes["worker"]
    worker.send_signal(signal.SIGTERM)
    system.send_signal("worker", signal.SIGCONT)
    assert worker.wait(20) == 0
    assert [run["status"] for run in system.runs()] == ["queued"]
    another_worker_takes_it_up(system, recovery)
    assert resumed_at(system) >= iteration
