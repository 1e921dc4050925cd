"""The Celery tasks of the queue `alerts`."""

from celery import shared_task
from django.utils import timezone

from rl_training.alerts import delivery, evaluation_loop
from rl_training.storage import readings
from rl_training.storage.housekeeping import READ_STORAGE

# Importing `evaluation_loop` connects it to the worker's signals.
__all__ = ["deliver", "evaluation_loop", "read_storage", "send_test"]


@shared_task(name=delivery.DELIVER, ignore_result=True)
def deliver(channel_id: int) -> None:
    """Send the messages that are due to the channel, except those that another process has claimed."""
    delivery.deliver(channel_id)


@shared_task(name=delivery.SEND_TEST, ignore_result=True)
def send_test(channel_id: int) -> None:
    delivery.send_test(channel_id)


@shared_task(name=READ_STORAGE, ignore_result=True)
def read_storage() -> None:
    """Store how much storage the system uses."""
    readings.take(timezone.now())
