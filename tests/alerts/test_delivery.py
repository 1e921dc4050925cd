"""Delivery to channels: contents, retries, claims and recipients."""

from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.alerts import delivery, sending, state_changes
from rl_training.alerts.models import AlertChannel, AlertRule
from rl_training.core import outgoing
from tests.alerts.rows import open_alerts, store_channel

pytestmark = pytest.mark.django_db


def try_again(channel: AlertChannel) -> int:
    channel.messages.update(next_try_at=timezone.now())
    return delivery.deliver(channel.pk)


def test_message_is_retried_after_growing_pauses_until_sent(receiver, policy):
    channel = store_channel(receiver)
    receiver.answers = [500, 503, 200]
    open_alerts(policy)
    for attempt, (pause, problem) in enumerate([(10, "answered 500"), (20, "answered 503")], 1):
        assert try_again(channel) == 1
        [message] = channel.messages.all()
        assert message.attempts == attempt
        assert problem in message.problem
        assert timedelta(seconds=pause - 5) < message.next_try_at - timezone.now() <= timedelta(seconds=pause)
        assert delivery.deliver(channel.pk) == 0
    assert try_again(channel) == 1
    assert try_again(channel) == 0
    assert receiver.titles == ["rl_v3: a run failed"]
    assert channel.messages.get().sent_at


def test_channel_at_a_private_address_gets_no_message_unless_allowed(receiver, policy, monkeypatch):
    channel = store_channel(receiver)
    open_alerts(policy)
    monkeypatch.setenv(outgoing.SETTING, "0")
    assert try_again(channel) == 1
    assert (channel.messages.get().problem, receiver.messages) == (outgoing.REFUSED, [])
    monkeypatch.setenv(outgoing.SETTING, "1")
    assert try_again(channel) == 1
    assert len(receiver.messages) == 1


def test_message_is_given_up_after_a_day(receiver, policy):
    channel = store_channel(receiver)
    receiver.answers = [500]
    open_alerts(policy)
    channel.messages.update(created_at=timezone.now() - timedelta(days=1))
    assert try_again(channel) == 1
    assert channel.messages.get().given_up
    assert try_again(channel) == 0
    assert receiver.messages == []


def test_message_to_disabled_channel_is_given_up_after_a_day(receiver, policy):
    channel = store_channel(receiver)
    open_alerts(policy)
    AlertChannel.objects.update(enabled=False)
    now = timezone.now()
    for later, given_up in ((timedelta(hours=23), False), (timedelta(hours=25), True)):
        delivery.send_due(now + later)
        assert channel.messages.get().given_up == given_up
    assert delivery.claim_due(channel.pk, now + timedelta(days=2)) == []


def test_late_success_of_expired_claim_marks_message_sent(receiver, policy):
    channel = store_channel(receiver)
    open_alerts(policy)
    slow = delivery.claim_due(channel.pk, timezone.now())
    assert delivery.claim_due(channel.pk, timezone.now() + timedelta(minutes=3))
    delivery.record_outcome(slow, "")
    assert channel.messages.get().sent_at


def test_claimed_message_is_not_claimed_again_before_expiry(receiver, policy):
    channel = store_channel(receiver)
    open_alerts(policy)
    now = timezone.now()
    assert len(delivery.claim_due(channel.pk, now)) == 1
    assert delivery.claim_due(channel.pk, now) == []
    assert len(delivery.claim_due(channel.pk, now + timedelta(minutes=3))) == 1


def test_alerts_opened_together_are_sent_as_one_message(receiver, policy):
    channel = store_channel(receiver)
    open_alerts(policy, 23)
    assert delivery.deliver(channel.pk) == 23
    [message] = receiver.messages
    assert message["title"] == "23 alert messages"
    assert "policy_19: a run failed" in message["message"]
    assert "... and 3 more" in message["message"]


def test_alert_goes_to_named_channels_and_channels_of_every_alert(receiver, policy):
    everywhere, named, other = (
        store_channel(receiver, name, every_alert=name == "everywhere") for name in ("everywhere", "named", "other")
    )
    off = store_channel(receiver, "off", enabled=False)
    AlertRule.objects.get_or_create(policy=policy, kind="run_failed")[0].channels.set([everywhere, named, off])
    [alert] = open_alerts(policy)
    assert sorted(alert.messages.values_list("channel__name", flat=True)) == ["everywhere", "named"]
    state_changes.resolve([alert.pk])
    state_changes.resolve([alert.pk])
    assert sorted(alert.messages.values_list("event", flat=True)) == ["opened", "opened", "resolved", "resolved"]
    assert other.messages.count() == 0


def test_due_messages_are_sent_directly_without_broker(receiver, policy, monkeypatch):
    store_channel(receiver)
    open_alerts(policy)
    monkeypatch.setattr(delivery, "enqueue", lambda task, channel: False)
    delivery.send_due(timezone.now())
    assert receiver.titles == ["rl_v3: a run failed"]


def test_unusable_channel_url_gives_a_reason(receiver, settings):
    [unknown, down] = sending.recipients("nothing://here json://127.0.0.1:1/path-s3cret")
    assert unknown.send("title", "text", good=False).startswith("apprise does not know the address")
    assert down.send("title", "text", good=False) == "the service cannot be reached"
    channel = store_channel(receiver)
    settings.SECRET_KEY = "another"
    assert "another SECRET_KEY" in delivery.send_test(channel.pk)


def store_recipients(*urls: str) -> AlertChannel:
    channel = AlertChannel(name="team")
    channel.address = " ".join(urls)
    channel.save()
    return channel


def test_unreachable_recipient_does_not_repeat_message_to_others(receiver, policy):
    channel = store_recipients(receiver.address("a"), "json://127.0.0.1:1/down,", receiver.address("b"))
    open_alerts(policy)
    for _ in range(3):
        assert try_again(channel) == 1
        [message] = channel.messages.all()
        assert message.problem == "1 of 3 recipients: the service cannot be reached"
        assert message.sent_at is None
    assert receiver.paths == ["/path-a", "/path-b"]
    state_changes.resolve([message.alert_id])
    try_again(channel)
    assert receiver.paths == ["/path-a", "/path-b"] * 2
    assert receiver.titles[2:] == ["Resolved: rl_v3: a run failed"] * 2


def test_message_is_sent_when_last_recipient_is_reached(receiver, policy):
    channel = store_recipients(receiver.address("a"), receiver.address("b"))
    receiver.answers = [500]
    open_alerts(policy)
    assert try_again(channel) == 1
    assert try_again(channel) == 1
    assert receiver.paths == ["/path-a", "/path-b", "/path-a"]
    assert channel.messages.get().sent_at
    assert try_again(channel) == 0


def test_each_target_of_one_url_is_a_recipient(receiver, policy):
    channel = store_recipients(f"ntfy://127.0.0.1:{receiver.server.server_port}/first/second")
    receiver.answers = [500]
    open_alerts(policy)
    try_again(channel)
    [reached] = [message["topic"] for message in receiver.messages]
    try_again(channel)
    assert [message["topic"] for message in receiver.messages] == [reached, *({"first", "second"} - {reached})]
    assert channel.messages.get().sent_at


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#a/#b", 2),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/12315545", 2),
        ("mailto://user:secret@example.org/a@example.org/b@example.org", 2),
        ("json://localhost/a json://localhost/a", 1),
        ("nothing://here json://localhost/a", 2),
    ],
)
def test_apprise_urls_have_the_same_recipients_each_time(address, number):
    found = sending.recipients(address)
    assert len(found) == number
    assert [recipient.fingerprint for recipient in sending.recipients(address)] == [r.fingerprint for r in found]


def test_delivery_stops_when_another_process_claims_the_messages(receiver, policy):
    channel = store_recipients(receiver.address("a"), receiver.address("b"))
    open_alerts(policy)
    slow = delivery.claim_due(channel.pk, timezone.now())
    assert delivery.claim_due(channel.pk, timezone.now() + timedelta(minutes=3))
    recipients = sending.recipients(channel.address)
    assert delivery.send_to_recipients(slow, recipients) == "another process sends the messages"
    assert receiver.messages == []


def test_test_message_names_number_of_failed_recipients(receiver):
    channel = store_recipients(receiver.address("a"), "json://127.0.0.1:1/down", "nothing://here")
    outcome = "sent, but not to 2 of 3 recipients: the service cannot be reached, apprise does not know the address"
    assert delivery.send_test(channel.pk).startswith(outcome)
    assert receiver.titles == ["Test"]
    assert channel.masked_address == "json://..., json://..., nothing://..."
