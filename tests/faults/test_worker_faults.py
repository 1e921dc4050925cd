"""Worker processes that are killed, stopped or asleep at each stage of a run."""

import os
import signal
import time
from functools import partial

import pytest
from celery import Celery

from quantum_trader.redis_clients import broker_url
from tests.faults.outcome import check_runs_end_undisturbed, child_of, logged, resumed_at
from tests.faults.recovery import Recovery
from tests.faults.system import RECOVERY_SECONDS, System
from tests.waiting import wait_for

OF_MEMBER = 200  # iterations of each member of a run that System.schedule() makes
ITERATIONS = 3 * OF_MEMBER  # of its three members
EPISODE = 4  # iterations in an episode; each episode ends with a checkpoint
FILES = 40  # written by a run, at least


def check_recovery(system: System, recovery: Recovery, fault: str, attempts: int) -> None:
    system.launch_until(fault)
    recovery.begins()
    system.wait_for_attempt(attempts)
    recovery.ends()
    check_runs_end_undisturbed(system, [attempts])


def check_little_was_repeated(system: System, iteration: int) -> None:
    """Check that a run interrupted in `iteration` resumed at the end of the last episode, or at a later checkpoint."""
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
        "before the claim",
        "after the claim",
        "in the first iteration",
        "in the last iteration",
        "before the commit of the version",
    ],
)
def test_killed_training_process_is_replaced(system, recovery, fault, attempts, resumed):
    check_recovery(system, recovery, fault, attempts)
    assert resumed <= resumed_at(system) < resumed + EPISODE


@pytest.mark.no_worker_lost
def test_event_of_a_process_killed_after_its_commit_is_relayed(system, recovery):
    system.launch_until("before_relay:2:SIGKILL")
    recovery.begins()
    wait_for(lambda: not system.violations(), "the event to be on its stream", RECOVERY_SECONDS)
    recovery.ends()
    check_runs_end_undisturbed(system, [1])


def test_process_killed_at_a_random_iteration_is_resumed(system, recovery, chance):
    iteration = chance.randrange(1, ITERATIONS)
    check_recovery(system, recovery, f"iteration:{iteration}:SIGKILL", 2)
    check_little_was_repeated(system, iteration)


@pytest.mark.long
def test_process_killed_while_it_writes_a_random_file_is_resumed(system, recovery, chance):
    check_recovery(system, recovery, f"file_written:{chance.randrange(1, FILES)}:SIGKILL", 2)


def check_another_worker_resumes(system: System, recovery: Recovery) -> None:
    recovery.begins()
    system.launch("worker", "other")
    system.wait_for_attempt(2)
    recovery.ends()
    check_runs_end_undisturbed(system, [2])


@pytest.mark.long
def test_whole_worker_killed_at_a_random_iteration_is_replaced(system, recovery, chance):
    iteration = chance.randrange(1, ITERATIONS)
    system.launch_until(f"iteration:{iteration}:SIGSTOP")
    system.send_signal("worker", signal.SIGKILL)
    check_another_worker_resumes(system, recovery)
    check_little_was_repeated(system, iteration)


@pytest.mark.long
def test_training_process_that_stands_still_is_replaced(system, recovery):
    system.launch_until("iteration:50:SIGSTOP")
    recovery.begins()
    system.wait_for_attempt(2)
    recovery.ends()
    check_runs_end_undisturbed(system, [2])
    check_little_was_repeated(system, 50)


@pytest.mark.long
def test_worker_that_sleeps_for_45_seconds_does_not_disturb_the_new_owner(system, recovery):
    system.launch_until("iteration:50:SIGSTOP")
    system.send_signal("worker", signal.SIGSTOP)
    awake_at = time.monotonic() + 45
    recovery.begins()
    # The second worker stops after it has written a checkpoint, and continues once the first worker has noticed.
    system.launch("worker", "other", fault="file_written:3:SIGSTOP")
    system.wait_for_attempt(2)
    recovery.ends()
    system.wait_for_fault("file_written")
    sleeper, owner = child_of(system, "worker"), child_of(system, "other")
    wait_for(lambda: time.monotonic() >= awake_at, "the sleeper to wake", 46)
    # The parent would kill its process, so it stays stopped until the process has tried to write.
    os.kill(sleeper, signal.SIGCONT)
    wait_for(lambda: logged(system, "worker", "The work is another's by now"), "the sleeper to notice")
    system.send_signal("worker", signal.SIGCONT)
    os.kill(owner, signal.SIGCONT)
    check_runs_end_undisturbed(system, [2])


@pytest.mark.long
def test_run_that_loses_three_workers_fails_alone(system, recovery):
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
    system.wait_until_invariants_hold()


def trains(system: System, attempt: int) -> bool:
    """Return whether the endless run trains in this attempt."""
    return any(
        run["status"] == "running" and run["attempt"] == attempt and run["iterations_done"] for run in system.runs()
    )


@pytest.mark.long
@pytest.mark.no_worker_lost
def test_worker_stopped_together_with_its_process_releases_its_run(system, recovery):
    system.launch_until("iteration:100:SIGSTOP")
    system.send_signal("worker", signal.SIGTERM)
    system.send_signal("worker", signal.SIGCONT)
    assert system.processes["worker"].wait(20) == 0
    [run] = system.runs()
    assert (run["status"], run["workers_lost"]) == ("queued", 0)
    check_another_worker_resumes(system, recovery)


@pytest.mark.long
def test_process_stopped_before_its_claim_is_replaced(system, recovery):
    system.launch_until("before_claim:1:SIGSTOP")
    recovery.begins()
    system.wait_for_attempt(1)
    recovery.ends()
    check_runs_end_undisturbed(system, [1])


@pytest.mark.long
@pytest.mark.no_worker_lost
def test_task_terminated_by_flower_cancels_its_run(system, recovery):
    system.launch_until("iteration:100:SIGSTOP")
    [run] = system.runs()
    with Celery(broker=broker_url(system.redis.url)) as app:
        app.control.revoke(run["run_id"], terminate=True)
    os.kill(child_of(system, "worker"), signal.SIGCONT)
    [run] = system.wait_for_runs()
    assert (run["status"], run["workers_lost"]) == ("cancelled", 0)
    system.wait_until_invariants_hold()


@pytest.mark.no_worker_lost
def test_worker_stopped_at_a_random_iteration_releases_its_run(system, recovery, chance):
    iteration = chance.randrange(1, ITERATIONS - 50)
    system.launch_until(f"iteration:{iteration}:SIGSTOP")
    worker = system.processes["worker"]
    worker.send_signal(signal.SIGTERM)
    system.send_signal("worker", signal.SIGCONT)
    assert worker.wait(20) == 0
    assert [run["status"] for run in system.runs()] == ["queued"]
    check_another_worker_resumes(system, recovery)
    assert resumed_at(system) >= iteration
