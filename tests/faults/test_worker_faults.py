"""What must not matter: the fault at each moment of a run's life, with real processes and signals."""

import signal

import pytest

from tests.faults.outcome import all_end_as_if_nothing_had_happened
from tests.faults.recovery import Recovery
from tests.faults.system import RECOVERY_SECONDS, System

ITERATIONS = 200  # of a run that System.schedule() makes
FILES = 40  # that it writes at least


def launch_with(system: System, fault: str) -> None:
    """A worker that the fault will happen to, a run for it, and the moment at which it has happened."""
    system.launch("worker", fault=fault)
    system.schedule()
    system.launch("beat")
    system.wait_for_fault(fault.split(":")[0])


def recovers(system: System, recovery: Recovery, fault: str, attempts: int) -> None:
    launch_with(system, fault)
    recovery.begins()
    system.wait_for_attempt(attempts)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [attempts])


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        ("before_claim:1:SIGKILL", 1),
        pytest.param("claimed:1:SIGKILL", 2, marks=pytest.mark.long),
        pytest.param("iteration:1:SIGKILL", 2, marks=pytest.mark.long),
        pytest.param(f"iteration:{ITERATIONS}:SIGKILL", 2, marks=pytest.mark.long),
        pytest.param("artifact_stored:1:SIGKILL", 2, marks=pytest.mark.long),
        ("before_relay:2:SIGKILL", 1),
    ],
)
def test_a_training_process_is_killed(system, recovery, fault, attempts):
    recovers(system, recovery, fault, attempts)


def test_a_training_process_is_killed_at_a_random_iteration(system, recovery, chance):
    recovers(system, recovery, f"iteration:{chance.randrange(1, ITERATIONS)}:SIGKILL", 2)


@pytest.mark.long
def test_a_training_process_is_killed_while_it_writes_a_random_file(system, recovery, chance):
    recovers(system, recovery, f"file_written:{chance.randrange(1, FILES)}:SIGKILL", 2)


@pytest.mark.long
def test_a_whole_worker_is_killed_at_a_random_iteration(system, recovery, chance):
    launch_with(system, f"iteration:{chance.randrange(1, ITERATIONS)}:SIGSTOP")
    system.send_signal("worker", signal.SIGKILL)
    recovery.begins()
    system.launch("worker", "other")
    system.wait_for_attempt(2)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [2])


@pytest.mark.long
def test_a_worker_that_sleeps_too_long_has_lost_its_run(system, recovery):
    launch_with(system, "iteration:50:SIGSTOP")
    recovery.begins()
    system.launch("worker", "other")
    system.wait_for_attempt(2)
    recovery.ends()
    [run] = system.wait_for_runs(seconds=2 * RECOVERY_SECONDS)
    system.send_signal("worker", signal.SIGCONT)
    all_end_as_if_nothing_had_happened(system, [run["attempt"]])


@pytest.mark.long
def test_a_run_that_kills_its_worker_each_time_fails_and_the_others_go_on(system, recovery):
    launch_with(system, "iteration:*:SIGKILL")
    [run] = system.wait_for_runs(seconds=4 * RECOVERY_SECONDS)
    assert (run["status"], run["attempt"]) == ("failed", 3)
    assert run["error"] == "worker lost in the last of 3 attempts"
    system.wait_until_all_holds()


def test_a_worker_that_is_told_to_stop_at_a_random_iteration_hands_its_run_over(system, recovery, chance):
    launch_with(system, f"iteration:{chance.randrange(1, ITERATIONS - 50)}:SIGSTOP")
    worker = system.processes["worker"]
    worker.send_signal(signal.SIGTERM)
    system.send_signal("worker", signal.SIGCONT)
    assert worker.wait(20) == 0
    assert [run["status"] for run in system.runs()] == ["queued"]
    recovery.begins()
    system.launch("worker", "other")
    system.wait_for_attempt(2)
    recovery.ends()
    all_end_as_if_nothing_had_happened(system, [2])
