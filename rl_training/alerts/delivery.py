"""Messages to channels: each is sent at least once, tried again with growing pauses, and given up after a day.

A message's row says when its next try is due. Whoever sends it puts that off first, by a conditional UPDATE, so that
nobody else sends it meanwhile; when its process dies, the next try finds it. What waits for a channel goes out as one
message: when everything fails at once, people are told once.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from celery import current_app
from django.conf import settings
from django.db.models import F
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from rl_training.alerts import sealing, sending
from rl_training.alerts.models import Alert, AlertChannel, AlertMessage
from rl_training.querysets import typed_columns

log = structlog.get_logger(__name__)

DELIVER = "rl_training.alerts.tasks.deliver"
SEND_TEST = "rl_training.alerts.tasks.send_test"

# Longer than a service takes that does answer, with apprise's own timeouts of seconds.
IN_HAND_FOR = timedelta(minutes=2)
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=1)
# A message to a telephone is read to here at most.
LISTED = 20


def send_due(now: datetime) -> None:
    """Have what waits sent, by whoever serves the queue; at once and here when the broker is away.

    What has waited for a day for a channel that is disabled is given up: nobody wants to hear of it later.
    """
    old = AlertMessage.objects.waiting().filter(created_at__lte=now - GIVEN_UP_AFTER)
    old.filter(channel__enabled=False).update(given_up=True)
    waiting = AlertMessage.objects.due(now).order_by("channel").values_list("channel", flat=True).distinct()
    for channel in list(waiting):
        if not ask(DELIVER, channel):
            deliver(channel)


def ask(task: str, channel: int) -> bool:
    """Send a task about a channel, which is named by its id; False when the broker is away."""
    try:
        current_app.send_task(task, kwargs={"channel_id": channel}, queue=settings.ALERTS_QUEUE)
    except (BrokerError, OSError) as error:
        log.warning("Alert messages are sent without the broker", channel=channel, error=str(error))
        return False
    return True


def deliver(channel_id: int) -> int:
    """Send what is due to the channel; returns how many messages that were."""
    messages = take(channel_id, timezone.now())
    if not messages:
        return 0
    channel = messages[0].channel
    title, body = compose(messages)
    good = all(message.event == AlertMessage.Event.RESOLVED for message in messages)
    note(messages, send(channel, title, body, good=good))
    return len(messages)


def take(channel_id: int, now: datetime) -> list[AlertMessage]:
    """The channel's due messages, oldest first; until they are put off again nobody else has them."""
    mine = uuid.uuid4().hex
    if not AlertChannel.objects.filter(pk=channel_id, enabled=True).exists():
        return []
    # Of the one table: PostgreSQL looks again at what such an UPDATE had to wait for.
    due = AlertMessage.objects.waiting().filter(channel=channel_id, next_try_at__lte=now)
    if not due.update(taken_by=mine, next_try_at=now + IN_HAND_FOR, attempts=F("attempts") + 1):
        return []
    taken = AlertMessage.objects.filter(channel=channel_id, taken_by=mine)
    return list(taken.select_related("channel", "alert__policy").defer(*typed_columns("alert__policy")).order_by("pk"))


def send(channel: AlertChannel, title: str, body: str, *, good: bool = False) -> str:
    """Send a message to the channel; returns why it was not sent, empty when it was."""
    try:
        return sending.send(channel.address, title, body, good=good)
    except sealing.UnreadableError as error:
        return str(error)


def note(messages: Sequence[AlertMessage], problem: str) -> None:
    """Note that the taken messages were sent, or why not, and when to try again."""
    channel, mine = messages[0].channel, AlertMessage.objects.filter(taken_by=messages[0].taken_by)
    now = timezone.now()
    if not problem:
        # Whoever has them in hand by now: they were sent.
        AlertMessage.objects.filter(pk__in=[message.pk for message in messages]).update(sent_at=now, problem="")
        log.info("Alert message sent", channel=channel.name, messages=len(messages))
        return
    attempts = max(message.attempts for message in messages)
    pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    mine.update(next_try_at=now + pause, problem=problem)
    given_up = mine.filter(created_at__lte=now - GIVEN_UP_AFTER).update(given_up=True)
    log.warning(
        "Alert message not sent",
        channel=channel.name,
        messages=len(messages),
        reason=problem,
        next_try_seconds=pause.total_seconds(),
        given_up=given_up,
    )


def compose(messages: Sequence[AlertMessage]) -> tuple[str, str]:
    """Title and text for one or several messages."""
    if len(messages) == 1:
        return headline(messages[0]), text(messages[0])
    shown = [f"{headline(message)}\n{text(message)}" for message in messages[:LISTED]]
    more = len(messages) - len(shown)
    return f"{len(messages)} alert messages", "\n\n".join(shown + ([f"... and {more} more"] if more else []))


def headline(message: AlertMessage) -> str:
    begin = "Resolved: " if message.event == AlertMessage.Event.RESOLVED else ""
    return f"{begin}{subject(message.alert)}"


def subject(alert: Alert) -> str:
    return f"{alert.policy.name if alert.policy else 'system'}: {alert.get_kind_display()}"


def text(message: AlertMessage) -> str:
    alert = message.alert
    if message.event == AlertMessage.Event.OPENED or alert.resolved_at is None:
        return alert.message
    minutes = (alert.resolved_at - alert.opened_at).total_seconds() / 60
    return f"It lasted {minutes:,.0f} min. It began with: {alert.message}"


def send_test(channel_id: int) -> str:
    """Send a message that says that it is a test; the outcome stands in the channel's row. Returns it."""
    channel = AlertChannel.objects.filter(pk=channel_id).first()
    if channel is None:
        return "the channel is gone"
    problem = send(channel, "Test", f"Alerts of Quantum trader reach the channel {channel.name}.", good=True)
    outcome = f"not sent: {problem}" if problem else "sent"
    AlertChannel.objects.filter(pk=channel_id).update(tested_at=timezone.now(), test_outcome=outcome[:200])
    log.info("Test message", channel=channel.name, outcome=outcome)
    return outcome
