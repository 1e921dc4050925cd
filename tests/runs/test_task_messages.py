import json
from datetime import timedelta

import pytest
from celery import current_app
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle, task_messages


@pytest.mark.django_db(transaction=True)
def test_message_that_cannot_be_sent_leaves_the_run_queued(policy, monkeypatch):
    def refuse(*_, **__):
        raise BrokerError("broker is away")

    monkeypatch.setattr(current_app, "send_task", refuse)
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    run.refresh_from_db()
    assert (run.status, run.sent_at) == ("queued", None)


@pytest.mark.django_db(transaction=True)
def test_broker_that_does_not_answer_is_tried_once_in_a_tick(policy, monkeypatch):
    tried = []

    def refuse(*_, **__):
        tried.append(1)
        raise BrokerError("broker is away")

    monkeypatch.setattr(current_app, "send_task", refuse)
    runs = [
        lifecycle.unsaved(
            PolicyStore.objects.create(name=f"policy_{n}"), TrainingRun.Trigger.SCHEDULE, scheduled_for=None
        )
        for n in "ab"
    ]
    for _ in range(2):
        with task_messages.until_one_fails():
            assert [task_messages.send([run]) for run in runs] == [0, 0]
    assert len(tried) == 2


@pytest.mark.django_db(transaction=True)
def test_lost_message_is_sent_again_and_a_waiting_one_is_not(policy, streams):
    runs = [
        lifecycle.enqueue(of, TrainingRun.Trigger.COMMAND) for of in (policy, PolicyStore.objects.create(name="other"))
    ]
    later = timezone.now() + timedelta(seconds=31)
    assert task_messages.resend_undelivered(later) == 0
    lost = json.loads(streams.rpop("training"))["headers"]["id"]
    assert lost == runs[0].run_id
    assert [task_messages.resend_undelivered(later), streams.llen("training")] == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_message_sent_before_the_clock_was_set_back_is_sent_again(policy, streams):
    lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    streams.delete("training")
    assert task_messages.resend_undelivered(timezone.now() - timedelta(days=1)) == 1
