"""Delivery of messages to channels: at least once, retried with growing pauses, given up after a day.

A message's row holds the time of its next try. A sender claims the due messages of a channel by a conditional UPDATE
that postpones this time, so no other process sends them meanwhile; if the sender dies, the next try sends them. All
due messages of a channel go out as one, so a failure of everything makes one notification. A channel with several
recipients has a row for each message and recipient that was reached; only the others are tried again.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from celery import current_app
from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from rl_training.alerts import encryption, sending
from rl_training.alerts.message_text import compose
from rl_training.alerts.models import AlertChannel, AlertDelivery, AlertMessage
from rl_training.alerts.sending import Recipient

log = structlog.get_logger(__name__)

DELIVER = "rl_training.alerts.tasks.deliver"
SEND_TEST = "rl_training.alerts.tasks.send_test"

# Longer than any service takes to answer: apprise's own timeouts are seconds.
CLAIM_DURATION = timedelta(minutes=2)
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=1)


def send_due(now: datetime) -> None:
    """Enqueue a delivery for each channel with due messages; deliver in this process when the broker is down.

    Messages that have waited a day for a disabled channel are given up, because they are out of date.
    """
    old = AlertMessage.objects.waiting().filter(created_at__lte=now - GIVEN_UP_AFTER)
    old.filter(channel__enabled=False).update(given_up=True)
    waiting = AlertMessage.objects.due(now).order_by("channel").values_list("channel", flat=True).distinct()
    for channel in list(waiting):
        if not enqueue(DELIVER, channel):
            deliver(channel)


def enqueue(task: str, channel_id: int) -> bool:
    """Enqueue a task about the channel; return False when the broker is down."""
    try:
        current_app.send_task(task, kwargs={"channel_id": channel_id}, queue=settings.ALERTS_QUEUE)
    except (BrokerError, OSError) as error:
        log.warning("Alert messages are sent without the broker", channel=channel_id, error=str(error))
        return False
    return True


def deliver(channel_id: int) -> int:
    """Send the due messages of the channel; return their number, sent or not."""
    messages = claim_due(channel_id, timezone.now())
    if not messages:
        return 0
    try:
        problem = send_to_recipients(messages, sending.recipients(messages[0].channel.address))
    except encryption.UnreadableError as error:
        problem = str(error)
    record_outcome(messages, problem)
    return len(messages)


def send_to_recipients(messages: Sequence[AlertMessage], recipients: Sequence[Recipient]) -> str:
    """Send each recipient the claimed messages that have not reached it yet; return why some were not sent.

    Each delivery is recorded at once, so that the other recipients do not get a message again when one recipient cannot
    be reached. Each recipient renews the claim, because many unreachable recipients take long.
    """
    problems = []
    for recipient in recipients:
        if not renew_claim(messages[0]):
            return "another process sends the messages"
        received = set(_deliveries(messages).filter(recipient=recipient.fingerprint).values_list("message", flat=True))
        due = [message for message in messages if message.pk not in received]
        problem = recipient.send(*compose(due), good=_is_good(due)) if due else ""
        if not problem:
            sent = [AlertDelivery(message=message, recipient=recipient.fingerprint) for message in due]
            AlertDelivery.objects.bulk_create(sent, ignore_conflicts=True)
        problems.append(problem)
    return sending.describe(problems)


def renew_claim(message: AlertMessage) -> bool:
    """Postpone the next try of the messages claimed with this one; return False when another process claimed them."""
    claimed = AlertMessage.objects.waiting().filter(taken_by=message.taken_by)
    return bool(claimed.update(next_try_at=timezone.now() + CLAIM_DURATION))


def _deliveries(messages: Sequence[AlertMessage]) -> QuerySet[AlertDelivery]:
    return AlertDelivery.objects.filter(message__in=[message.pk for message in messages])


def _is_good(messages: Sequence[AlertMessage]) -> bool:
    return all(message.event == AlertMessage.Event.RESOLVED for message in messages)


def claim_due(channel_id: int, now: datetime) -> list[AlertMessage]:
    """Claim the channel's due messages, oldest first; no other process gets them before their next try is due."""
    claim = uuid.uuid4().hex
    if not AlertChannel.objects.filter(pk=channel_id, enabled=True).exists():
        return []
    # The UPDATE names this table alone, because PostgreSQL then checks the condition again after waiting for a lock.
    due = AlertMessage.objects.waiting().filter(channel=channel_id, next_try_at__lte=now)
    if not due.update(taken_by=claim, next_try_at=now + CLAIM_DURATION, attempts=F("attempts") + 1):
        return []
    claimed = AlertMessage.objects.filter(channel=channel_id, taken_by=claim)
    return list(claimed.select_related("channel", "alert__policy").order_by("pk"))


def record_outcome(messages: Sequence[AlertMessage], problem: str) -> None:
    """Record that the claimed messages were sent, or why not and when the next try is due."""
    channel, claimed = messages[0].channel, AlertMessage.objects.filter(taken_by=messages[0].taken_by)
    now = timezone.now()
    if not problem:
        # Regardless of a later claim by another process: the messages have been sent.
        AlertMessage.objects.filter(pk__in=[message.pk for message in messages]).update(sent_at=now, problem="")
        log.info("Alert message sent", channel=channel.name, messages=len(messages))
        return
    attempts = max(message.attempts for message in messages)
    pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    claimed.update(next_try_at=now + pause, problem=problem[:200])
    given_up = claimed.filter(created_at__lte=now - GIVEN_UP_AFTER).update(given_up=True)
    log.warning(
        "Alert message not sent",
        channel=channel.name,
        messages=len(messages),
        reason=problem,
        next_try_seconds=pause.total_seconds(),
        given_up=given_up,
    )


def send_test(channel_id: int) -> str:
    """Send a test message to the channel; store the outcome in the channel's row and return it."""
    channel = AlertChannel.objects.filter(pk=channel_id).first()
    if channel is None:
        return "the channel is gone"
    try:
        text = f"Alerts of Quantum trader reach the channel {channel.name}."
        outcome = _outcome([each.send("Test", text, good=True) for each in sending.recipients(channel.address)])
    except encryption.UnreadableError as error:
        outcome = f"not sent: {error}"
    AlertChannel.objects.filter(pk=channel_id).update(tested_at=timezone.now(), test_outcome=outcome[:200])
    log.info("Test message", channel=channel.name, outcome=outcome)
    return outcome


def _outcome(problems: Sequence[str]) -> str:
    """Return who got a message, and why the others did not. The problem of a reached recipient is empty."""
    if not any(problems):
        return "sent"
    return f"{'not sent:' if all(problems) else 'sent, but not to'} {sending.describe(problems)}"
