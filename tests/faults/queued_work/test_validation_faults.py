"""Processes that end while a recipe is walked forward. The result equals an undisturbed one, as one trial."""

import signal

import pytest

from tests.faults.queued_work.walk_forwards import (
    FOLDS,
    ITERATIONS,
    check_validation_ends_undisturbed,
    folds_of,
    start_validation,
    wait_for_attempt,
)


def launch(system, fault):
    system.launch("worker", fault=fault)
    start_validation(system)
    system.launch("beat")
    system.wait_for_fault(fault.split(":")[0])


def check_recovery(system, recovery, fault, kind="fold"):
    launch(system, fault)
    recovery.begins()
    wait_for_attempt(system, 2, kind)
    recovery.ends()
    check_validation_ends_undisturbed(system)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param("fold_steps:1:SIGKILL", "prepare", marks=pytest.mark.long),
        ("fold_stored:2:SIGKILL", "fold"),
        pytest.param("fold_ended:1:SIGKILL", "fold", marks=pytest.mark.long),
        ("judged:1:SIGKILL", "judge"),
    ],
    ids=["before the folds are stored", "after a policy", "before a fold's end", "before the verdict"],
)
def test_killed_process_is_replaced_and_nothing_counts_twice(system, recovery, fault, kind):
    check_recovery(system, recovery, fault, kind)


@pytest.mark.long
def test_fold_of_a_process_killed_at_a_random_iteration_is_resumed(system, recovery, chance):
    check_recovery(system, recovery, f"iteration:{chance.randrange(1, FOLDS * ITERATIONS)}:SIGKILL")


@pytest.mark.no_worker_lost
def test_restart_of_redis_loses_no_fold(system, recovery):
    launch(system, f"iteration:{ITERATIONS + 10}:SIGSTOP")
    system.redis.restart()
    recovery.begins()
    system.send_signal("worker", signal.SIGCONT)
    check_validation_ends_undisturbed(system)
    recovery.ends()


@pytest.mark.long
def test_beat_and_worker_killed_at_a_random_iteration_lose_no_fold(system, recovery, chance):
    launch(system, f"iteration:{chance.randrange(1, FOLDS * ITERATIONS)}:SIGKILL")
    for name in ("worker", "beat"):
        system.send_signal(name, signal.SIGKILL)
    recovery.begins()
    system.launch("worker", "other")
    system.launch("beat", "other_beat")
    wait_for_attempt(system, 2)
    recovery.ends()
    check_validation_ends_undisturbed(system)


@pytest.mark.long
@pytest.mark.no_worker_lost
def test_two_workers_share_the_folds_with_the_same_result(system):
    system.launch("worker")
    system.launch("worker", "other")
    start_validation(system)
    system.launch("beat")
    check_validation_ends_undisturbed(system)
    assert all(fold["attempt"] == 1 for fold in folds_of(system))
