"""A backup that is taken during random faults, and the state that is restored from it."""

import random
import subprocess
from pathlib import Path

import pytest

from tests.faults.storm.test_storm import PROCESSES, Storm
from tests.faults.system import RECOVERY_SECONDS, System
from tests.waiting import wait_for

POLICIES = 5


def back_up(storm: Storm, path: Path) -> None:
    """Take a backup; try again later if a fault ended its connection to the database."""
    try:
        storm.system.manage("backup", str(path))
    except subprocess.CalledProcessError:
        storm.after(1, "backup", lambda: back_up(storm, path))


@pytest.mark.long
def test_state_restored_from_a_backup_during_faults_goes_on(system, limits, prepared, tmp_path_factory, request):
    seconds = 60 * request.config.getoption("storm_minutes", 0.5)
    path = tmp_path_factory.mktemp("backup") / "backup.tar.gz"
    storm = Storm(system, random.Random(7))
    system.schedule(POLICIES, episodes=10, interval_minutes=1)
    for kind, name in PROCESSES:
        system.launch(kind, name)
    system.wait_for_runs(POLICIES, 4 * RECOVERY_SECONDS)
    storm.after(seconds / 2, "backup", lambda: back_up(storm, path))
    storm.run(seconds)
    system.stop()
    # From either database into SQLite.
    restored = System(tmp_path_factory.mktemp("restored"), prepared=prepared, limits=limits)
    restored.manage("restore", str(path))
    try:
        restored.redis.start()
        before = restored.count("finished_at IS NOT NULL")
        assert before >= POLICIES
        for kind, name in PROCESSES:
            restored.launch(kind, name)
        restored.wait_for_runs(before + 1, 4 * RECOVERY_SECONDS)
        restored.execute("UPDATE rl_training_policystore SET enabled = %s", False)
        wait_for(lambda: not restored.count("finished_at IS NULL"), "all runs to end", 4 * RECOVERY_SECONDS)
        restored.wait_until_invariants_hold(RECOVERY_SECONDS)
        artifacts = [row["artifact"] for row in restored.query("SELECT artifact FROM rl_training_policyversion")]
        files = [restored.folder / "artifacts" / name / "policy.safetensors" for name in artifacts]
        assert [path for path in files if not path.exists()] == []
    finally:
        restored.stop()
