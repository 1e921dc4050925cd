"""Channels: what goes out, how often, and that an address never shows."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from rl_training.alerts import delivery, sending, state_changes
from rl_training.alerts.judging import Holds, Rule
from rl_training.alerts.models import Alert, AlertChannel, AlertMessage, AlertRule
from rl_training.models import PolicyStore
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.django_db

SECRETS = ("user-s3cret", "password-s3cret", "path-s3cret")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """All that a handler of the root logger gets, statements included.

    Not caplog: it hears loggers that no handler of the project's hears.
    """
    handler, root = logging.StreamHandler(StringIO()), logging.getLogger()
    for logger in (root, logging.getLogger("django.db.backends")):
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        logger.manager._clear_cache()
    monkeypatch.setattr(connections["default"], "force_debug_cursor", True)  # as with DEBUG=1
    root.addHandler(handler)
    yield handler.stream
    root.removeHandler(handler)


def stored(receiver: Receiver, name: str = "receiver", **columns: object) -> AlertChannel:
    channel = AlertChannel(name=name, **columns)
    channel.address = receiver.address("s3cret")
    channel.save()
    return channel


def opened(policy: PolicyStore, number: int = 1) -> list[Alert]:
    policies = [policy, *(PolicyStore.objects.create(name=f"policy_{index}") for index in range(1, number))]
    rules = [AlertRule.objects.get_or_create(policy=policy, kind="run_failed")[0] for policy in policies]
    found = [(Rule(rule.pk, rule.kind, rule.policy_id, 0, 1), Holds("It failed.")) for rule in rules]
    return state_changes.open_alerts(found)


def try_again(channel: AlertChannel) -> int:
    channel.messages.update(next_try_at=timezone.now())
    return delivery.deliver(channel.pk)


def test_a_message_is_tried_again_after_growing_pauses_until_it_is_taken(receiver, policy):
    channel = stored(receiver)
    receiver.answers = [500, 503, 200]
    opened(policy)
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


def test_a_message_is_given_up_after_a_day(receiver, policy):
    channel = stored(receiver)
    receiver.answers = [500]
    opened(policy)
    channel.messages.update(created_at=timezone.now() - timedelta(days=1))
    assert try_again(channel) == 1
    assert channel.messages.get().given_up
    assert try_again(channel) == 0
    assert receiver.messages == []


def test_what_waits_for_a_disabled_channel_is_given_up_after_a_day(receiver, policy):
    channel = stored(receiver)
    opened(policy)
    AlertChannel.objects.update(enabled=False)
    now = timezone.now()
    for later, given_up in ((timedelta(hours=23), False), (timedelta(hours=25), True)):
        delivery.send_due(now + later)
        assert channel.messages.get().given_up == given_up
    assert delivery.take(channel.pk, now + timedelta(days=2)) == []


def test_what_was_sent_in_the_end_is_sent_whoever_has_it_in_hand_by_then(receiver, policy):
    channel = stored(receiver)
    opened(policy)
    slow = delivery.take(channel.pk, timezone.now())
    assert delivery.take(channel.pk, timezone.now() + timedelta(minutes=3))
    delivery.note(slow, "")
    assert channel.messages.get().sent_at


def test_what_one_has_in_hand_nobody_else_sends_until_it_took_too_long(receiver, policy):
    channel = stored(receiver)
    opened(policy)
    now = timezone.now()
    assert len(delivery.take(channel.pk, now)) == 1
    assert delivery.take(channel.pk, now) == []
    assert len(delivery.take(channel.pk, now + timedelta(minutes=3))) == 1


def test_what_opened_at_once_is_one_message(receiver, policy):
    channel = stored(receiver)
    opened(policy, 23)
    assert delivery.deliver(channel.pk) == 23
    [message] = receiver.messages
    assert message["title"] == "23 alert messages"
    assert "policy_19: a run failed" in message["message"]
    assert "... and 3 more" in message["message"]


def test_a_rule_tells_the_channels_that_it_names_and_those_of_every_alert(receiver, policy):
    everywhere, named, other = (
        stored(receiver, name, every_alert=name == "everywhere") for name in ("everywhere", "named", "other")
    )
    off = stored(receiver, "off", enabled=False)
    AlertRule.objects.get_or_create(policy=policy, kind="run_failed")[0].channels.set([everywhere, named, off])
    [alert] = opened(policy)
    assert sorted(alert.messages.values_list("channel__name", flat=True)) == ["everywhere", "named"]
    state_changes.resolve([alert.pk])
    state_changes.resolve([alert.pk])
    assert sorted(alert.messages.values_list("event", flat=True)) == ["opened", "opened", "resolved", "resolved"]
    assert other.messages.count() == 0


def test_without_a_broker_what_is_due_is_sent_at_once(receiver, policy, settings, monkeypatch):
    stored(receiver)
    opened(policy)
    monkeypatch.setattr(delivery, "ask", lambda task, channel: False)
    delivery.send_due(timezone.now())
    assert receiver.titles == ["rl_v3: a run failed"]


def test_an_address_that_cannot_be_used_says_why(receiver, policy, settings):
    assert sending.send("nothing://here", "title", "text").startswith("the address is not one that apprise knows")
    assert sending.send("json://127.0.0.1:1/path-s3cret", "title", "text") == "the service cannot be reached"
    channel = stored(receiver)
    settings.SECRET_KEY = "another"
    assert "another SECRET_KEY" in delivery.send_test(channel.pk)


def test_no_address_shows_in_the_admin_its_history_the_tasks_or_the_logs(
    receiver, policy, admin_client, streams, console
):
    pages = [AlertChannel, Alert, AlertRule]
    form = {"name": "pager", "address": receiver.address("s3cret"), "enabled": "on", "every_alert": "on"}
    shown = [admin_client.post(reverse("admin:alerts_alertchannel_add"), form, follow=True)]
    channel = AlertChannel.objects.get()
    assert channel.address == receiver.address("s3cret")
    change = reverse("admin:alerts_alertchannel_change", args=[channel.pk])
    # A form that is refused comes back without what was entered.
    shown.append(admin_client.post(change, form | {"name": ""}))
    shown.append(admin_client.post(change, form | {"name": "pager 2", "address": ""}, follow=True))
    shown.append(admin_client.post(change, form | {"address": receiver.address("s3cret") + "/new"}, follow=True))
    channel.refresh_from_db()
    assert channel.address == receiver.address("s3cret") + "/new"
    listed = reverse("admin:alerts_alertchannel_changelist")
    shown.append(admin_client.post(listed, {"action": "send_test", "_selected_action": [channel.pk]}, follow=True))
    assert "is on its way" in shown[-1].content.decode()
    assert "no outcome yet" in shown[-1].content.decode()
    [alert] = opened(policy)
    delivery.send_due(timezone.now())
    tasks = queued(streams)
    assert [task["headers"]["kwargsrepr"] for task in tasks] == [f"{{'channel_id': {channel.pk}}}"] * 2
    receiver.answers = [401]
    assert delivery.send_test(channel.pk) == "not sent: the service answered 401"
    assert "not sent: the service answered 401" in admin_client.get(listed).content.decode()
    delivery.deliver(channel.pk)
    assert receiver.paths == ["/path-s3cret/new"] * 2
    receiver.server.server_close()
    delivery.send_test(channel.pk)
    shown += [admin_client.get(reverse(f"admin:alerts_{page._meta.model_name}_changelist")) for page in pages]
    shown.append(admin_client.get(reverse("admin:alerts_alert_change", args=[alert.pk])))
    shown.append(admin_client.get(reverse("admin:alerts_alertchannel_history", args=[channel.pk])))
    assert [response.status_code for response in shown] == [200] * len(shown)
    everything = [response.content.decode() for response in shown]
    everything += [f"{entry.change_message} {entry.object_repr}" for entry in LogEntry.objects.all()]
    everything += [json.dumps(tasks), console.getvalue(), repr(channel), repr(list(AlertChannel.objects.values()))]
    everything += [str(row) for row in AlertMessage.objects.values()]
    assert "Alert message sent" in console.getvalue()
    assert "INSERT INTO" in console.getvalue()
    assert [secret for secret in SECRETS if any(secret in text for text in everything)] == []


def queued(streams: redis.Redis) -> list[dict]:
    return [json.loads(message) for message in streams.lrange("alerts", 0, -1)]


def test_who_may_look_but_not_change_sees_no_field_for_the_address(receiver, policy, client, django_user_model):
    from django.contrib.auth.models import Permission

    user = django_user_model.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_alertchannel", "view_alert"]))
    client.force_login(user)
    channel = stored(receiver)
    page = client.get(reverse("admin:alerts_alertchannel_change", args=[channel.pk])).content.decode()
    assert "json://..." in page
    assert "s3cret" not in page
    assert 'name="address"' not in page
    listed = reverse("admin:alerts_alertchannel_changelist")
    client.post(listed, {"action": "send_test", "_selected_action": [channel.pk]})
    channel.refresh_from_db()
    assert channel.test_requested_at is None


def test_an_alert_is_acknowledged_once_by_who_may(policy, admin_client, admin_user):
    [alert] = opened(policy)
    listed = reverse("admin:alerts_alert_changelist")
    for text in ("Acknowledged: It failed.", "Not acknowledged, it is acknowledged already: It failed."):
        page = admin_client.post(listed, {"action": "acknowledge", "_selected_action": [alert.pk]}, follow=True)
        assert text in page.content.decode()
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", admin_user)
    assert list(Alert.objects.open()) == [alert]
    assert list(Alert.objects.unacknowledged()) == []


def test_a_rule_is_edited_in_the_admin_within_its_range(policy, admin_client):
    rule = AlertRule.objects.get_or_create(policy=policy, kind="success_rate")[0]
    url = reverse("admin:alerts_alertrule_change", args=[rule.pk])
    assert "0.01 to 1, 0.8 when empty" in admin_client.get(url).content.decode()
    refused = admin_client.post(url, {"enabled": "on", "threshold": "2", "window": ""})
    assert "2 is not the share that must succeed: 0.01 to 1" in refused.content.decode()
    admin_client.post(url, {"enabled": "on", "threshold": "0.5", "window": "30"})
    rule.refresh_from_db()
    assert (rule.threshold, rule.window) == (0.5, 30)
    add = reverse("admin:alerts_alertrule_add")
    assert "There is a rule of this kind." in add_rule(admin_client, add, "beat_silent", "") + add_rule(
        admin_client, add, "beat_silent", ""
    )
    assert "a rule of the system has none" in add_rule(admin_client, add, "outbox_lag", policy.pk)
    assert admin_client.get(reverse("admin:alerts_alertrule_changelist")).status_code == 200


def add_rule(client, url: str, kind: str, policy: object) -> str:
    return client.post(url, {"kind": kind, "policy": policy, "enabled": "on"}, follow=True).content.decode()
