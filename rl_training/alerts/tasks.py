"""The Celery tasks of the queue `alerts`: their one argument is a channel's id."""

from celery import shared_task

from rl_training.alerts import delivery, watch

__all__ = ["deliver", "send_test", "watch"]  # importing `watch` connects it to the worker's signals


@shared_task(name=delivery.DELIVER, ignore_result=True)
def deliver(channel_id: int) -> None:
    """Send what is due to the channel; nothing when somebody else has it in hand."""
    delivery.deliver(channel_id)


@shared_task(name=delivery.SEND_TEST, ignore_result=True)
def send_test(channel_id: int) -> None:
    delivery.send_test(channel_id)
