import time
from datetime import timedelta

import pytest
import torch
from django.db.models.functions import Now

from rl_training.core.run.checkpoint import save_checkpoint
from rl_training.core.run.tally import EPISODE_REWARDS
from rl_training.files import checkpoints
from rl_training.models import PolicyVersion, TrainingEvent, TrainingRun
from rl_training.runs import lifecycle, reaping
from rl_training.runs.reaping import reap
from tests.active_runs import claim, claimed_run
from tests.runs.test_lifecycle import OUTCOME, event_types, status

pytestmark = pytest.mark.django_db


@pytest.fixture
def claimed(policy) -> TrainingRun:
    return claimed_run(policy)


def silent_for(seconds: float) -> None:
    """Set every run's heartbeat to the given number of seconds ago."""
    TrainingRun.objects.update(heartbeat_at=Now() - timedelta(seconds=seconds))


def test_worker_that_lost_its_run_changes_nothing(claimed):
    silent_for(31)
    reap()
    owner = claim(claimed)
    assert not lifecycle.heartbeat(claimed)
    assert lifecycle.succeed(claimed, OUTCOME) is None
    assert not lifecycle.fail(claimed, "late")
    lifecycle.release(claimed)
    assert (status(claimed), owner.attempt, PolicyVersion.objects.count()) == ("running", 2, 0)
    assert event_types() == ["rl_v3.training.started"]


def test_run_with_recent_heartbeat_is_not_reaped(claimed):
    silent_for(29)
    assert reap() == 0
    assert status(claimed) == "running"


def test_heartbeat_written_after_the_search_for_lost_runs_keeps_the_run(claimed):
    silent_for(31)
    [lost] = TrainingRun.objects.lost(reaping.lost_after())
    assert lifecycle.heartbeat(claimed)
    assert not reaping._reap(lost)
    assert status(claimed) == "running"


def test_heartbeat_in_the_future_is_replaced_by_the_current_time(claimed):
    silent_for(-3600)
    assert reap() == 0
    assert status(claimed) == "running"
    assert TrainingRun.objects.filter(heartbeat_at__range=(Now() - timedelta(seconds=10), Now())).exists()


def test_nothing_is_reaped_when_the_database_answered_late(claimed, monkeypatch):
    silent_for(31)
    times = iter([0.0, 6.0, 10.0, 11.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    assert [reap(), reap()] == [0, 1]


def test_graceful_stops_do_not_count_as_lost_workers(claimed):
    for _ in range(5):
        lifecycle.release(claimed)
        claimed = claim(claimed)
    silent_for(31)
    reap()
    run = TrainingRun.objects.get()
    assert (run.status, claimed.attempt, run.workers_lost) == ("queued", 6, 1)


def test_third_lost_worker_fails_the_run(claimed):
    for attempt in range(3):
        if attempt:
            claim(claimed)
        silent_for(31)
        reap()
    run = TrainingRun.objects.get()
    assert (run.status, run.error) == ("failed", "worker lost in 3 attempts")
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]


def test_run_failed_by_lost_workers_has_the_rewards_of_its_checkpoint(claimed, settings, tmp_path):
    settings.CHECKPOINT_ROOT = tmp_path
    checkpoint_with_rewards(claimed, [0.5, 0.25])
    TrainingRun.objects.update(workers_lost=2)
    claimed.refresh_from_db()
    silent_for(31)
    reap()
    run = TrainingRun.objects.get()
    assert (run.status, run.episode_rewards, run.avg_reward, run.final_reward) == ("failed", [0.5, 0.25], 0.375, 0.25)
    assert (run.episodes_done, run.iterations_done, run.environment_steps) == (2, 1, 64)


def test_cancelled_run_with_lost_worker_has_the_rewards_of_its_checkpoint(claimed, settings, tmp_path):
    settings.CHECKPOINT_ROOT = tmp_path
    checkpoint_with_rewards(claimed, [0.5, 0.25])
    lifecycle.cancel(claimed)
    silent_for(31)
    reap()
    run = TrainingRun.objects.get()
    assert (run.status, run.episode_rewards) == ("cancelled", [0.5, 0.25])


def test_damaged_checkpoint_of_a_lost_run_gives_no_rewards(claimed, settings, tmp_path, caplog):
    settings.CHECKPOINT_ROOT = tmp_path
    checkpoint_with_rewards(claimed, [0.5])
    path = checkpoints.checkpoint_paths(claimed)[0]
    path.write_bytes(path.read_bytes()[:-1])
    lifecycle.cancel(claimed)
    silent_for(31)
    reap()
    assert (status(claimed), TrainingRun.objects.get().avg_reward) == ("cancelled", None)
    assert "Checkpoint cannot be used" in caplog.text


def checkpoint_with_rewards(run: TrainingRun, rewards: list[float]) -> None:
    """Write a checkpoint of the run's current attempt, with the rewards of its episodes so far."""
    tally = {"finished": len(rewards), "total": sum(rewards), "iterations": 1, "policy_loss": 0.5, "value_loss": 0.25}
    config = {"environment": {"episode_length": 8}, "episodes": 10, "seeds": 1, "ppo": {"num_envs": 4}}
    tensors = {EPISODE_REWARDS: torch.tensor(rewards, dtype=torch.float64)}
    [path] = checkpoints.checkpoint_paths(run)
    save_checkpoint(path, tensors, {"tally": tally, "identity": {"config": config}})


def test_cancelled_run_with_lost_worker_ends_as_cancelled(claimed):
    lifecycle.cancel(claimed)
    silent_for(31)
    reap()
    assert status(claimed) == "cancelled"
    assert TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload["error"] == "cancelled"
