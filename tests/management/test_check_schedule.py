from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle


@pytest.mark.django_db
def test_slot_due_just_now_is_not_overdue(policy):
    PolicyStore.objects.update(next_run_at=timezone.now() - timedelta(seconds=1))
    call_command("check_schedule")


@pytest.mark.django_db
def test_slot_overdue_for_a_minute_names_its_policy(policy):
    PolicyStore.objects.update(next_run_at=timezone.now() - timedelta(seconds=61))
    with pytest.raises(CommandError, match="Overdue by more than a minute: rl_v3"):
        call_command("check_schedule")
    PolicyStore.objects.update(enabled=False)
    call_command("check_schedule")


@pytest.mark.django_db
def test_slot_of_policy_with_active_run_is_not_overdue(policy):
    PolicyStore.objects.update(next_run_at=timezone.now() - timedelta(seconds=61))
    lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False)
    call_command("check_schedule")
