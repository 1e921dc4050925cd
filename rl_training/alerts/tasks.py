"""The Celery tasks of the queue `alerts`. Each takes the id of a channel."""

from celery import shared_task

from rl_training.alerts import delivery, evaluation_loop

# Importing `evaluation_loop` connects it to the worker's signals.
__all__ = ["deliver", "evaluation_loop", "send_test"]


@shared_task(name=delivery.DELIVER, ignore_result=True)
def deliver(channel_id: int) -> None:
    """Send the messages that are due to the channel, except those that another process has claimed."""
    delivery.deliver(channel_id)


@shared_task(name=delivery.SEND_TEST, ignore_result=True)
def send_test(channel_id: int) -> None:
    delivery.send_test(channel_id)
