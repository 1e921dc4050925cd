import multiprocessing
import signal

import pytest
from django.db import OperationalError, connections

from rl_training import tasks
from rl_training.models import TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from rl_training.worker import ownership as owner_module
from rl_training.worker.ownership import Owner

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def claimed(small_policy) -> TrainingRun:
    return lifecycle.claim(lifecycle.enqueue(small_policy, TrainingRun.Trigger.COMMAND, send_message=False).run_id)


def test_progress_is_written_with_the_heartbeat(claimed):
    with Owner(claimed) as owner:
        owner.progress |= {"iterations_done": 7, "episodes_done": 1, "environment_steps": 128}
        owner.report()
    claimed.refresh_from_db()
    assert (claimed.iterations_done, claimed.episodes_done, claimed.environment_steps) == (7, 1, 128)


def test_a_request_to_cancel_is_heard(claimed):
    lifecycle.cancel(TrainingRun.objects.get(pk=claimed.pk))
    with Owner(claimed) as owner:
        assert owner.stop.wait(10)
    assert owner.cancelled.is_set()


def test_a_redis_that_did_not_take_progress_is_left_alone_for_a_while(claimed, streams, settings):
    owner, with_redis = Owner(claimed), settings.REDIS_URL
    owner.announce({"episode": 1})
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    owner.announce({"episode": 2})
    settings.REDIS_URL = with_redis
    owner.announce({"episode": 3})
    assert streams.xlen("rl_v3.training.progress") == 1
    assert 86_000 < streams.ttl("rl_v3.training.progress") <= 86_400


def test_the_end_of_a_run_is_written_once_the_database_is_back(claimed, monkeypatch):
    monkeypatch.setattr(owner_module, "PAUSE_SECONDS", 0.0)
    answers = iter([OperationalError("away"), OperationalError("away"), True])
    asked = []

    def write(run):
        asked.append(run)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    Owner(claimed).write(write, claimed)
    assert len(asked) == 3


def test_that_the_end_was_not_written_is_said(claimed, caplog):
    TrainingRun.objects.update(attempt=2)
    Owner(claimed).write(lifecycle.fail, claimed, "no bars")
    assert "The run is another's by now" in caplog.text


def test_a_run_that_takes_longer_than_its_policy_allows_fails(claimed):
    owner = Owner(claimed)
    owner._began_at -= 60 * claimed.policy.run_limit_minutes + 1
    with owner:
        assert owner.stop.wait(10)
    claimed.refresh_from_db()
    assert (claimed.status, claimed.error) == (
        "failed",
        "took longer than 1440 minutes, the policy's run_limit_minutes",
    )


def test_another_owner_is_noticed(claimed):
    TrainingRun.objects.update(attempt=2)
    with Owner(claimed) as owner:
        assert owner.stop.wait(10)
    assert not owner.cancelled.is_set()


def test_a_run_cancelled_while_it_trains_ends_with_its_checkpoint_kept(small_policy, settings):
    small_policy.episodes_per_run = 1_000_000
    small_policy.save_settings()
    run = lifecycle.claim(lifecycle.enqueue(small_policy, TrainingRun.Trigger.COMMAND, send_message=False).run_id)
    lifecycle.cancel(TrainingRun.objects.get(pk=run.pk))
    tasks.execute(run, lambda: False)
    run.refresh_from_db()
    assert (run.status, run.error) == ("cancelled", "cancelled")
    assert run.iterations_done > 0
    assert (settings.CHECKPOINT_ROOT / f"{run.run_id}-1.safetensors").exists()
    assert TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload["success"] is False


def stuck(run: TrainingRun) -> None:
    """A process whose training makes no iteration, with a limit that has passed."""
    owner = Owner(run)
    owner._moved_at -= 60 * run.policy.stall_limit_minutes
    with owner:
        owner.stop.wait(60)


def test_a_process_that_makes_no_iteration_for_too_long_is_ended(claimed):
    # No connection may be shared with the process.
    connections.close_all()
    process = multiprocessing.get_context("fork").Process(target=stuck, args=(claimed,))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
