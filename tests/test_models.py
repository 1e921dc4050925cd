from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from rl_training.core.config import PPOConfig
from rl_training.models import PolicyStore, TrainingRun
from rl_training.policy_edits import set_enabled

pytestmark = pytest.mark.django_db


def test_migrations_create_policy_with_documented_defaults(policy):
    assert (policy.enabled, policy.interval_minutes, policy.episodes_per_run) == (True, 60, 2)
    assert policy.market.source == "sp500"
    assert policy.ppo == PPOConfig()


@pytest.mark.parametrize(
    ("field", "value"), [("interval_minutes", 0), ("interval_minutes", 366 * 24 * 60 + 1), ("episodes_per_run", 0)]
)
def test_number_out_of_range_is_refused_by_database_and_model(policy, field, value):
    with pytest.raises(IntegrityError), transaction.atomic():
        PolicyStore.objects.update(**{field: value})
    setattr(policy, field, value)
    with pytest.raises(ValidationError) as error:
        policy.full_clean()
    assert field in error.value.message_dict


@pytest.mark.parametrize("name", ["RL", "3rl", "rl v3", "rl.v3", "rl_v3\n", "rl-v3", "", "x" * 51])
def test_name_unfit_for_streams_and_keys_is_refused(name):
    with pytest.raises(ValidationError):
        PolicyStore(name=name).full_clean()


def test_save_settings_keeps_bookkeeping_written_meanwhile(policy):
    PolicyStore.objects.update(next_run_at=F("next_run_at"), total_runs=7)
    policy.interval_minutes = 5
    policy.save_settings()
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.total_runs) == (5, 7)


def test_history_records_saved_settings(policy):
    policy.interval_minutes = 5
    policy.save_settings()
    newest = policy.history.first()
    assert (newest.interval_minutes, newest.ppo) == (5, policy.ppo)


def test_second_active_run_of_policy_is_refused(policy):
    TrainingRun.objects.create(policy=policy, trigger="command", episodes=1, config={})
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.create(policy=policy, trigger="command", episodes=1, config={}, status="running")


def test_second_run_of_slot_is_refused(policy):
    slot = policy.next_run_at
    run = {"policy": policy, "trigger": "schedule", "episodes": 1, "config": {}, "scheduled_for": slot}
    TrainingRun.objects.create(status="failed", **run)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRun.objects.create(**run)


def enable_in_form(policy, enabled):
    policy.enabled = enabled
    policy.save_settings()


@pytest.mark.parametrize("save", [set_enabled, enable_in_form])
def test_enabled_policy_is_due_now_not_at_slot_that_passed_while_disabled(policy, save):
    month_ago = timezone.now() - timedelta(days=30)
    PolicyStore.objects.update(enabled=False, next_run_at=month_ago)
    policy = PolicyStore.objects.get()
    before = timezone.now()
    save(policy, True)
    assert before <= PolicyStore.objects.get().next_run_at <= timezone.now()


def test_slot_ahead_and_slot_of_enabled_policy_are_kept(policy):
    ahead = timezone.now() + timedelta(minutes=5)
    PolicyStore.objects.update(enabled=False, next_run_at=ahead)
    set_enabled(PolicyStore.objects.get(), True)
    assert PolicyStore.objects.get().next_run_at == ahead
    passed = timezone.now() - timedelta(minutes=5)
    PolicyStore.objects.update(next_run_at=passed)
    PolicyStore.objects.get().save_settings()
    assert PolicyStore.objects.get().next_run_at == passed
