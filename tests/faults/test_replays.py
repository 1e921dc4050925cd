"""Runs of every start rule, interrupted or not, are trained again with the same weights."""

from datetime import UTC, datetime

import pytest

from rl_training.models import StartFrom
from tests.faults.system import RECOVERY_SECONDS
from tests.faults.test_worker_faults import OF_MEMBER

MEMBERS = (1, 2, 3)


@pytest.mark.long
def test_replays_of_an_undisturbed_and_of_a_killed_run_are_equal(system, recovery, chance):
    rule, members = chance.choice(StartFrom.values), chance.choice(MEMBERS)
    worker = system.launch("worker")
    system.schedule()
    system.execute("UPDATE rl_training_policystore SET start_from = %s, seeds = %s", rule, members)
    system.launch("beat")
    system.wait_for_runs(1, 2 * RECOVERY_SECONDS)
    system.manage("policy_promote", "rl_v3", "1", "--reason", "the second run starts from it under `live`")
    worker.terminate()
    worker.wait()
    system.launch("worker", fault=f"iteration:{chance.randrange(1, members * OF_MEMBER)}:SIGKILL")
    system.set_next_slot(datetime.now(UTC))
    system.wait_for_fault("iteration")
    recovery.begins()
    runs = system.wait_for_runs(2, 2 * RECOVERY_SECONDS)
    recovery.ends()
    assert [run["attempt"] for run in runs] == [1, 2]
    for run in runs:
        system.manage("replay_run", run["run_id"])
