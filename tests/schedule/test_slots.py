from datetime import UTC, datetime

import pytest
from django.utils import timezone

from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle
from rl_training.schedule import slots
from tests.active_runs import claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(policy) -> TrainingRun:
    return lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)


def test_missed_slots_become_one_run_and_the_rhythm_is_kept(policy):
    PolicyStore.objects.update(next_run_at=datetime(2025, 1, 1, 12, 0, tzinfo=UTC), interval_minutes=10)
    policy.refresh_from_db()
    [run] = slots.enqueue_due([policy], datetime(2025, 1, 2, 12, 34, tzinfo=UTC))
    policy.refresh_from_db()
    assert run.scheduled_for == datetime(2025, 1, 1, 12, 0, tzinfo=UTC)
    assert policy.next_run_at == datetime(2025, 1, 2, 12, 40, tzinfo=UTC)


def test_slot_that_another_beat_claimed_is_skipped(policy):
    now = timezone.now()
    assert len(slots.enqueue_due([policy], now)) == 1
    assert slots.enqueue_due([policy], now) == []


def test_slot_of_a_policy_with_an_active_run_stays_due(policy, run):
    slot = policy.next_run_at
    with pytest.raises(lifecycle.AlreadyActiveError):
        slots.enqueue_due([policy], timezone.now())
    policy.refresh_from_db()
    assert policy.next_run_at == slot


def test_scheduled_run_starts_from_the_newest_version(policy, run):
    outcome = lifecycle.Outcome({}, {"artifact": "rl_v3/x-1", "sha256": "0" * 64, "evaluation": {}, "parent": None})
    version = lifecycle.succeed(claim(run), outcome)
    policy.start_from = "newest"
    policy.save_settings("start_from")
    [run] = slots.enqueue_due([policy], timezone.now())
    run.refresh_from_db()
    assert run.initial_version == version


def test_slots_are_claimed_and_runs_stored_for_all_policies_or_none(policy, run):
    idle = PolicyStore.objects.create(name="idle")
    with pytest.raises(lifecycle.AlreadyActiveError, match="policy rl_v3 already has"):
        slots.enqueue_due([policy, idle], timezone.now())
    assert TrainingRun.objects.get() == run
    assert PolicyStore.objects.get(name="idle").next_run_at == idle.next_run_at
