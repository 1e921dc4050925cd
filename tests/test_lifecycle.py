from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from rl_training import lifecycle
from rl_training.lifecycle import Outcome
from rl_training.models import PolicyStore, PolicyVersion, TrainingEvent, TrainingRun

pytestmark = pytest.mark.django_db

OUTCOME = Outcome(
    run={"avg_reward": 0.5, "final_reward": 0.75, "episodes_done": 2},
    version={"artifact": "rl_v3/x-1", "sha256": "0" * 64, "evaluation": {}, "parent": None},
)


@pytest.fixture
def run(policy) -> TrainingRun:
    return lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)


@pytest.fixture
def claimed(run) -> TrainingRun:
    claimed = lifecycle.claim(run.run_id)
    assert claimed is not None
    return claimed


def status(run: TrainingRun) -> str:
    return TrainingRun.objects.get(pk=run.pk).status


def event_types() -> list[str]:
    return list(TrainingEvent.objects.order_by("id").values_list("event_type", flat=True))


def test_a_run_stores_the_config_that_it_will_start_with(policy, run):
    assert run.config["ppo"] == policy.ppo.model_dump(mode="json")
    assert run.config["episodes"] == run.episodes == 2
    assert len(run.run_id) == 12
    assert int(run.run_id, 16) >= 0


def test_a_policy_with_an_active_run_gets_no_second_one(policy, run):
    with pytest.raises(lifecycle.AlreadyActiveError, match=f"already has a queued run, {run.run_id}") as error:
        lifecycle.enqueue(policy, TrainingRun.Trigger.ADMIN)
    assert error.value.run == run


def test_a_message_delivered_many_times_starts_one_execution(run):
    assert [lifecycle.claim(run.run_id) is not None for _ in range(3)] == [True, False, False]
    assert TrainingRun.objects.get().attempt == 1


def test_success_makes_the_next_version_and_one_completed_event(policy, claimed):
    version = lifecycle.succeed(claimed, OUTCOME)
    assert (version.number, version.policy, version.run) == (1, policy, claimed)
    assert status(claimed) == "succeeded"
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]
    payload = TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload
    assert payload.keys() == {
        "run_id",
        "policy",
        "success",
        "episodes",
        "duration_seconds",
        "avg_reward",
        "final_reward",
        "timestamp",
    }
    assert (payload["success"], payload["avg_reward"], payload["final_reward"]) == (True, 0.5, 0.75)
    policy.refresh_from_db()
    assert (policy.total_runs, policy.succeeded_runs) == (1, 1)


def test_the_next_run_continues_from_the_newest_version(policy, claimed):
    version = lifecycle.succeed(claimed, OUTCOME)
    assert lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND).initial_version == version


def test_a_run_from_scratch_continues_from_nothing(policy, claimed):
    lifecycle.succeed(claimed, OUTCOME)
    assert lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, from_scratch=True).initial_version is None


def test_failure_announces_the_error_and_no_rewards(policy, claimed):
    assert lifecycle.fail(claimed, "market file x.csv is missing")
    payload = TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload
    assert payload["success"] is False
    assert payload["error"] == "market file x.csv is missing"
    assert payload["avg_reward"] is None
    assert payload["final_reward"] is None
    policy.refresh_from_db()
    assert (policy.total_runs, policy.succeeded_runs) == (1, 0)


def test_a_worker_that_lost_its_run_changes_nothing(claimed):
    lifecycle.reap(timezone.now() + timedelta(minutes=1))
    owner = lifecycle.claim(claimed.run_id)
    assert not lifecycle.heartbeat(claimed)
    assert lifecycle.succeed(claimed, OUTCOME) is None
    assert not lifecycle.fail(claimed, "late")
    lifecycle.release(claimed)
    assert (status(claimed), owner.attempt, PolicyVersion.objects.count()) == ("running", 2, 0)
    assert event_types() == ["rl_v3.training.started"]


def test_a_run_whose_worker_lives_is_not_reaped(claimed):
    assert lifecycle.reap(timezone.now() + timedelta(seconds=29)) == 0
    assert status(claimed) == "running"


def test_a_released_run_waits_for_another_worker(claimed):
    lifecycle.release(claimed)
    assert status(claimed) == "queued"
    assert lifecycle.claim(claimed.run_id).attempt == 2


def test_the_third_lost_attempt_fails_the_run_with_that_reason(run):
    for _ in range(3):
        lifecycle.claim(run.run_id)
        lifecycle.reap(timezone.now() + timedelta(minutes=1))
    run.refresh_from_db()
    assert (run.status, run.error) == ("failed", "worker lost in the last of 3 attempts")
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]


def test_a_cancelled_run_never_started(run):
    assert lifecycle.cancel(run)
    assert lifecycle.claim(run.run_id) is None
    assert event_types() == []


def test_missed_slots_coalesce_into_one_run_that_keeps_the_rhythm(policy):
    PolicyStore.objects.update(next_run_at=datetime(2025, 1, 1, 12, 0, tzinfo=UTC), interval_minutes=10)
    policy.refresh_from_db()
    run = lifecycle.enqueue_due(policy, datetime(2025, 1, 2, 12, 34, tzinfo=UTC))
    policy.refresh_from_db()
    assert run.scheduled_for == datetime(2025, 1, 1, 12, 0, tzinfo=UTC)
    assert policy.next_run_at == datetime(2025, 1, 2, 12, 40, tzinfo=UTC)


def test_a_slot_that_another_beat_took_is_left_alone(policy):
    now = timezone.now()
    assert lifecycle.enqueue_due(policy, now) is not None
    assert lifecycle.enqueue_due(policy, now) is None


def test_a_slot_of_a_busy_policy_stays_due(policy, run):
    slot = policy.next_run_at
    with pytest.raises(lifecycle.AlreadyActiveError):
        lifecycle.enqueue_due(policy, timezone.now())
    policy.refresh_from_db()
    assert policy.next_run_at == slot


@pytest.mark.django_db(transaction=True)
def test_a_run_that_no_worker_heard_of_is_sent_again_once_the_queue_is_empty(policy, streams):
    lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    later = timezone.now() + timedelta(seconds=31)
    assert lifecycle.resend_unheard(later) == 0
    streams.delete("training")
    assert lifecycle.resend_unheard(later) == 1
    assert streams.llen("training") == 1
