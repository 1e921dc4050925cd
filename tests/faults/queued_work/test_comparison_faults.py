"""A worker that ends while it compares versions."""

import pytest

from tests.faults.system import RECOVERY_SECONDS
from tests.waiting import wait_for

EPISODES = 10


@pytest.mark.long
def test_comparison_of_a_killed_process_is_done_again(system, recovery):
    system.launch("worker", fault="compared:1:SIGKILL")
    system.schedule(2, EPISODES)
    system.launch("beat")
    system.wait_for_runs(2)
    system.execute("UPDATE rl_training_policystore SET enabled = %s", False)
    system.manage("policy_compare", "rl_v3:1", "policy_2:1")
    system.wait_for_fault("compared")
    recovery.begins()

    def ended():
        [row] = system.query("SELECT * FROM rl_training_comparison")
        return row if row["finished_at"] else None

    row = wait_for(ended, "the comparison to end", 2 * RECOVERY_SECONDS)
    recovery.ends()
    assert (row["status"], row["error"], row["attempt"], row["workers_lost"]) == ("succeeded", "", 2, 1)
    assert row["bars"] > 0
