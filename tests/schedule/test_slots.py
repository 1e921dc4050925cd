from datetime import UTC, datetime

import pytest
from django.utils import timezone

from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle
from rl_training.schedule import slots

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(policy) -> TrainingRun:
    return lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)


def test_missed_slots_coalesce_into_one_run_that_keeps_the_rhythm(policy):
    PolicyStore.objects.update(next_run_at=datetime(2025, 1, 1, 12, 0, tzinfo=UTC), interval_minutes=10)
    policy.refresh_from_db()
    [run] = slots.enqueue_due([policy], datetime(2025, 1, 2, 12, 34, tzinfo=UTC))
    policy.refresh_from_db()
    assert run.scheduled_for == datetime(2025, 1, 1, 12, 0, tzinfo=UTC)
    assert policy.next_run_at == datetime(2025, 1, 2, 12, 40, tzinfo=UTC)


def test_a_slot_that_another_beat_took_is_left_alone(policy):
    now = timezone.now()
    assert len(slots.enqueue_due([policy], now)) == 1
    assert slots.enqueue_due([policy], now) == []


def test_a_slot_of_a_busy_policy_stays_due(policy, run):
    slot = policy.next_run_at
    with pytest.raises(lifecycle.AlreadyActiveError):
        slots.enqueue_due([policy], timezone.now())
    policy.refresh_from_db()
    assert policy.next_run_at == slot


def test_a_scheduled_run_starts_from_the_newest_version(policy, run):
    outcome = lifecycle.Outcome({}, {"artifact": "rl_v3/x-1", "sha256": "0" * 64, "evaluation": {}, "parent": None})
    version = lifecycle.succeed(lifecycle.claim(run.run_id), outcome)
    [run] = slots.enqueue_due([policy], timezone.now())
    run.refresh_from_db()
    assert run.initial_version == version


def test_a_slot_is_taken_and_its_run_stored_together_or_not_at_all(policy, run):
    idle = PolicyStore.objects.create(name="idle")
    with pytest.raises(lifecycle.AlreadyActiveError, match="policy rl_v3 already has"):
        slots.enqueue_due([policy, idle], timezone.now())
    assert TrainingRun.objects.get() == run
    assert PolicyStore.objects.get(name="idle").next_run_at == idle.next_run_at
