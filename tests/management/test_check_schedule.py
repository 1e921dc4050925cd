from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle


@pytest.mark.django_db
def test_a_slot_that_has_just_come_is_in_time(policy):
    PolicyStore.objects.update(next_run_at=timezone.now() - timedelta(seconds=1))
    call_command("check_schedule")


@pytest.mark.django_db
def test_a_slot_of_a_minute_ago_without_a_run_names_its_policy(policy):
    PolicyStore.objects.update(next_run_at=timezone.now() - timedelta(seconds=61))
    with pytest.raises(CommandError, match="Overdue by more than a minute: rl_v3"):
        call_command("check_schedule")
    PolicyStore.objects.update(enabled=False)
    call_command("check_schedule")


@pytest.mark.django_db
def test_a_slot_waits_for_the_end_of_an_active_run(policy):
    PolicyStore.objects.update(next_run_at=timezone.now() - timedelta(seconds=61))
    lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False)
    call_command("check_schedule")
