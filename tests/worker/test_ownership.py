import math
import multiprocessing
import signal
import time

import numpy as np
import pytest
from django.db import OperationalError, connections

from rl_training.core.ppo.ppo import Iteration
from rl_training.core.run.curves import RunCurves
from rl_training.core.run.tally import Tally
from rl_training.files import checkpoints
from rl_training.models import TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from rl_training.worker import database_retry
from rl_training.worker.announcing import Announcer
from rl_training.worker.database_retry import write_end
from rl_training.worker.execution import execute
from rl_training.worker.ownership import Owner
from rl_training.worker.run_progress import RunProgress
from tests.active_runs import claimed_run

pytestmark = pytest.mark.django_db(transaction=True)

METRICS = {"train/policy_gradient_loss": 0.1, "train/value_loss": 0.2}


@pytest.fixture
def claimed(small_policy) -> TrainingRun:
    return claimed_run(small_policy)


def test_progress_is_written_to_the_row(claimed):
    with Owner(claimed) as owner:
        owner.progress.iterations_done = 7
        owner.progress.episodes_done = 1
        owner.progress.environment_steps = 128
        owner.write_progress()
    claimed.refresh_from_db()
    assert (claimed.iterations_done, claimed.episodes_done, claimed.environment_steps) == (7, 1, 128)


def test_curve_is_written_with_heartbeats_but_not_with_each_episode(claimed, settings):
    settings.OWNER_HEARTBEAT_SECONDS = 3600
    owner, curves = Owner(claimed), RunCurves()
    owner._curve_at = time.monotonic() - 3601

    def stored_episodes():
        claimed.refresh_from_db()
        return claimed.episodes_done, claimed.curve["episodes"]["x"]

    owner.progress.follow(curves)
    curves.add_episodes([(1, 0.5)])
    owner.progress.episodes_done = 1
    owner._tick(time.monotonic())
    assert stored_episodes() == (1, [1])
    curves.add_episodes([(2, 0.25)])
    owner.progress.episodes_done = 2
    owner._tick(time.monotonic())
    assert stored_episodes() == (2, [1])
    owner.write_progress()
    assert stored_episodes() == (2, [1, 2])


def test_curve_of_a_lost_attempt_is_not_written(claimed):
    owner, curves = Owner(claimed), RunCurves()
    owner.progress.follow(curves)
    curves.add_episodes([(1, 0.5)])
    TrainingRun.objects.update(attempt=2)
    owner.write_progress()
    claimed.refresh_from_db()
    assert claimed.curve is None


def test_progress_that_is_unknown_leaves_the_row_as_it_is(claimed):
    TrainingRun.objects.update(iterations_done=5)
    owner = Owner(claimed)
    owner.progress.episodes_done = 1
    owner.write_progress()
    claimed.refresh_from_db()
    assert (claimed.iterations_done, claimed.episodes_done) == (5, 1)


def test_request_to_cancel_sets_stop_and_cancelled(claimed):
    lifecycle.cancel(TrainingRun.objects.get(pk=claimed.pk))
    with Owner(claimed) as owner:
        assert owner.stop.wait(10)
    assert owner.cancelled.is_set()


def test_announcer_pauses_after_redis_did_not_take_an_entry(claimed, streams, settings):
    announcer, with_redis = Announcer(claimed), settings.REDIS_URL
    announcer.announce({"episode": 1})
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    announcer.announce({"episode": 2})
    settings.REDIS_URL = with_redis
    announcer.announce({"episode": 3})
    assert streams.xlen("rl_v3.training.progress") == 1
    assert 86_000 < streams.ttl("rl_v3.training.progress") <= 86_400


def test_end_of_a_run_is_written_once_the_database_is_back(claimed, monkeypatch):
    monkeypatch.setattr(database_retry, "PAUSE_SECONDS", 0.0)
    answers = iter([OperationalError("away"), OperationalError("away"), True])
    calls, pauses = [], []

    def write(run):
        calls.append(run)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    write_end(write, claimed, while_waiting=lambda: pauses.append(1))
    assert (len(calls), len(pauses)) == (3, 2)


def test_end_of_a_run_that_another_attempt_owns_is_logged(claimed, caplog):
    TrainingRun.objects.update(attempt=2)
    write_end(lifecycle.fail, claimed, "no bars", while_waiting=lambda: None)
    assert "The work is another's by now" in caplog.text


def test_run_that_exceeds_the_run_limit_fails(claimed):
    owner = Owner(claimed)
    owner._began_at -= 60 * claimed.policy.run_limit_minutes + 1
    tally = Tally(episode_length=1, episodes=3, members=1)
    tally.add(Iteration(1, 2, METRICS, np.array([[0.5], [0.25]])))
    owner.progress.follow(RunCurves(), tally)
    with owner:
        assert owner.stop.wait(10)
    claimed.refresh_from_db()
    assert (claimed.status, claimed.error) == (
        "failed",
        "took longer than 1,440 minutes, the policy's run_limit_minutes",
    )
    assert (claimed.episode_rewards, claimed.avg_reward, claimed.final_reward) == ([0.5, 0.25], 0.375, 0.25)


@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_diverged_rewards_are_no_results(reward):
    progress, tally = RunProgress(), Tally(episode_length=1, episodes=3, members=1)
    assert progress.results() is None
    progress.follow(RunCurves(), tally)
    assert progress.results() == {}
    tally.add(Iteration(1, 1, METRICS, np.array([[reward]])))
    assert progress.results() == {}


def test_new_attempt_of_another_worker_sets_stop(claimed):
    TrainingRun.objects.update(attempt=2)
    with Owner(claimed) as owner:
        assert owner.stop.wait(10)
    assert not owner.cancelled.is_set()


def test_run_cancelled_while_it_trains_keeps_its_checkpoint(small_policy, settings):
    small_policy.episodes_per_run = 1_000_000
    small_policy.save_settings()
    run = claimed_run(small_policy)
    lifecycle.cancel(TrainingRun.objects.get(pk=run.pk))
    execute(run, lambda: False)
    run.refresh_from_db()
    assert (run.status, run.error) == ("cancelled", "cancelled")
    assert run.iterations_done > 0
    assert run.avg_policy_loss is not None
    assert (run.started_from, run.start_note) == (None, "")
    assert (settings.CHECKPOINT_ROOT / f"{run.run_id}-1.safetensors").exists()
    assert TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload["success"] is False


def test_interrupted_run_and_its_checkpoint_have_one_state(small_policy):
    small_policy.episodes_per_run = 1_000_000
    small_policy.save_settings()
    run, iterations = claimed_run(small_policy), iter([False, False, False, True])
    execute(run, lambda: next(iterations))
    run = TrainingRun.objects.get()
    so_far = checkpoints.results_so_far(run)
    names = ("episodes_done", "iterations_done", "environment_steps", "curve")
    assert {name: so_far[name] for name in names} == {name: getattr(run, name) for name in names}
    assert (run.status, run.episodes_done, len(so_far["episode_rewards"])) == ("queued", 4, 4)


def test_run_interrupted_by_ctrl_c_keeps_its_iterations(small_policy):
    small_policy.episodes_per_run = 1_000_000
    small_policy.save_settings()
    run, iterations = claimed_run(small_policy), iter([False, False])

    def press_after_3_iterations() -> bool:
        if next(iterations, True):
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        execute(run, press_after_3_iterations)
    run = TrainingRun.objects.get()
    assert (run.status, run.error, run.iterations_done, run.environment_steps) == ("failed", "interrupted", 3, 384)
    assert (run.episodes_done, len(run.episode_rewards), run.curve["episodes"]["x"]) == (3, 3, [1, 2, 3])


def test_run_cancelled_after_episodes_keeps_their_rewards(small_policy):
    small_policy.episodes_per_run = 1_000_000
    small_policy.save_settings()
    run = claimed_run(small_policy)
    iterations = []

    def cancel_after_3_iterations() -> bool:
        iterations.append(1)
        if len(iterations) == 3:
            lifecycle.cancel(TrainingRun.objects.get(pk=run.pk))
        return False

    execute(run, cancel_after_3_iterations)
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert len(run.episode_rewards) == run.episodes_done >= 3
    assert run.avg_reward == pytest.approx(sum(run.episode_rewards) / len(run.episode_rewards))
    assert run.final_reward == run.episode_rewards[-1]
    payload = TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload
    assert (payload["success"], payload["avg_reward"], payload["version"]) == (False, None, None)
    assert TrainingRun.objects.finished().count() == 0
    small_policy.refresh_from_db()
    assert small_policy.total_runs == 0


def own_without_iterations(run: TrainingRun) -> None:
    """Own a run whose stall limit has passed, until the owner kills this process."""
    owner = Owner(run)
    owner._active_at -= 60 * run.policy.stall_limit_minutes
    with owner:
        owner.stop.wait(60)


@pytest.mark.process
def test_process_without_iterations_for_too_long_is_killed(claimed):
    # The forked process must not share a connection with this one.
    connections.close_all()
    process = multiprocessing.get_context("fork").Process(target=own_without_iterations, args=(claimed,))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
