"""The admin pages of alerts, channels and rules. No page, log or task shows a channel's URL."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rl_training.alerts import delivery
from rl_training.alerts.models import Alert, AlertChannel, AlertMessage, AlertRule
from tests.alerts.rows import open_alerts, store_channel

pytestmark = pytest.mark.django_db

SECRETS = ("user-s3cret", "password-s3cret", "path-s3cret")


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """Everything that a handler of the root logger receives, SQL statements included.

    caplog does not fit, because it also captures loggers that do not propagate to the project's handlers.
    """
    handler, root = logging.StreamHandler(StringIO()), logging.getLogger()
    levels = {logger: logger.level for logger in (root, logging.getLogger("django.db.backends"))}
    for logger in levels:
        logger.setLevel(logging.DEBUG)
    monkeypatch.setattr(connections["default"], "force_debug_cursor", True)  # as with DEBUG=1
    root.addHandler(handler)
    yield handler.stream
    root.removeHandler(handler)
    for logger, level in levels.items():
        logger.setLevel(level)


def test_channel_url_never_shows_in_admin_history_tasks_or_logs(receiver, policy, admin_client, streams, console):
    pages = [AlertChannel, Alert, AlertRule]
    form = {"name": "pager", "address": receiver.address("s3cret"), "enabled": "on", "every_alert": "on"}
    shown = [admin_client.post(reverse("admin:alerts_alertchannel_add"), form, follow=True)]
    channel = AlertChannel.objects.get()
    assert channel.address == receiver.address("s3cret")
    change = reverse("admin:alerts_alertchannel_change", args=[channel.pk])
    # A refused form comes back without the entered URL.
    shown.append(admin_client.post(change, form | {"name": ""}))
    shown.append(admin_client.post(change, form | {"name": "pager 2", "address": ""}, follow=True))
    shown.append(admin_client.post(change, form | {"address": receiver.address("s3cret") + "/new"}, follow=True))
    channel.refresh_from_db()
    assert channel.address == receiver.address("s3cret") + "/new"
    listed = reverse("admin:alerts_alertchannel_changelist")
    shown.append(admin_client.post(listed, {"action": "send_test", "_selected_action": [channel.pk]}, follow=True))
    assert "is on its way" in shown[-1].content.decode()
    assert "no outcome yet" in shown[-1].content.decode()
    [alert] = open_alerts(policy)
    delivery.send_due(timezone.now())
    tasks = queued_tasks(streams)
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


def queued_tasks(streams: redis.Redis) -> list[dict[str, Any]]:
    return [json.loads(message) for message in streams.lrange("alerts", 0, -1)]


def test_viewer_sees_no_field_for_the_channel_url(receiver, policy, client, django_user_model):
    user = django_user_model.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_alertchannel", "view_alert"]))
    client.force_login(user)
    channel = store_channel(receiver)
    page = client.get(reverse("admin:alerts_alertchannel_change", args=[channel.pk])).content.decode()
    assert "json://..." in page
    assert "s3cret" not in page
    assert 'name="address"' not in page
    listed = reverse("admin:alerts_alertchannel_changelist")
    client.post(listed, {"action": "send_test", "_selected_action": [channel.pk]})
    channel.refresh_from_db()
    assert channel.test_requested_at is None


def test_alert_is_acknowledged_once_in_admin(policy, admin_client, admin_user):
    [alert] = open_alerts(policy)
    listed = reverse("admin:alerts_alert_changelist")
    for text in ("Acknowledged: It failed.", "Not acknowledged, it is acknowledged already: It failed."):
        page = admin_client.post(listed, {"action": "acknowledge", "_selected_action": [alert.pk]}, follow=True)
        assert text in page.content.decode()
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", admin_user)
    assert list(Alert.objects.open()) == [alert]
    assert list(Alert.objects.unacknowledged()) == []


def test_rule_is_edited_in_admin_within_its_range(policy, admin_client):
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


def add_rule(client: Client, url: str, kind: str, policy: object) -> str:
    return client.post(url, {"kind": kind, "policy": policy, "enabled": "on"}, follow=True).content.decode()


def test_checkbox_in_the_list_of_rules_is_named_after_its_rule(policy, admin_client):
    page = admin_client.get(reverse("admin:alerts_alertrule_changelist")).content.decode()
    assert f'aria-label="{policy}: a run failed enabled"' in page


@pytest.mark.parametrize("page", ["index", "alerts_alertrule_changelist"])
def test_every_admin_page_has_the_style_sheet_of_this_project(page, admin_client):
    assert "rl_training/admin.css" in admin_client.get(reverse(f"admin:{page}")).content.decode()


@pytest.mark.parametrize("address", ["smoke://signal", "slack://", "json://127.0.0.1 smoke://signal"])
def test_channel_of_service_that_apprise_does_not_know_is_refused(admin_client, address):
    response = admin_client.post(reverse("admin:alerts_alertchannel_add"), {"name": "pager", "address": address})
    (message,) = response.context["adminform"].form.errors["address"]
    service = address.split()[-1].partition(":")[0]
    assert message.startswith(f"apprise can send nothing to {service}://...: the service is unknown")
    assert not AlertChannel.objects.exists()
