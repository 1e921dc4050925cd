import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from dashboard.pages import alert_pages
from rl_training.alerts.models import Alert, AlertRule
from rl_training.models import PolicyStore
from tests.api_clients import user_of
from tests.stored import MARKUP, finished_run

pytestmark = pytest.mark.django_db


def client_of(role):
    client = Client()
    client.force_login(user_of(role))
    return client


def opened(policy, message="reward fell", **columns):
    """An alert of the policy, of the system without one."""
    rule = AlertRule.objects.filter(policy=policy).first()
    return Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message=message, **columns)


def words(client, url):
    return " ".join(re.sub(r"<[^>]*>", " ", client.get(url).content.decode()).split())


def test_the_overview_names_the_policy_and_asks_who_may_acknowledge(policy):
    alert = opened(policy)
    opened(None, "beat is silent")
    text = words(client_of("operator"), "/")
    assert "Alert of rl_v3: reward fell Acknowledge it." in text
    assert "Alert: beat is silent Acknowledge it." in text
    address = f'href="/alerts/{alert.pk}/acknowledge/?next=/" data-question'
    assert address in client_of("operator").get("/").content.decode()
    assert "Acknowledge" not in words(client_of("viewer"), "/")


def test_more_alerts_than_the_overview_names_are_a_page_away(policy):
    for number in range(6):
        other = PolicyStore.objects.create(name=f"other_{number}")
        opened(other, f"reward fell by {number}")
    assert '<a href="/alerts/">See them all.</a>' in client_of("operator").get("/").content.decode()
    assert words(client_of("operator"), "/alerts/").count("reward fell by") == 6


def test_who_acknowledges_is_noted_and_comes_back(policy):
    alert, operator = opened(policy), client_of("operator")
    address = f"/alerts/{alert.pk}/acknowledge/"
    assert "Alert of rl_v3: reward fell" in words(operator, address)
    answer = operator.post(address, {"next": "/"}, follow=True)
    assert answer.redirect_chain == [("/", 302)]
    assert "Acknowledged: reward fell" in answer.content.decode()
    assert "Alert of rl_v3" not in words(operator, "/")
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by.username) == ("acknowledged", "operator")
    assert LogEntry.objects.get().change_message == "Acknowledged."
    assert operator.post(address).url == "/alerts/"


def test_an_alert_that_is_over_is_not_acknowledged(policy):
    alert = opened(policy, resolved_at=timezone.now())
    answer = client_of("operator").post(f"/alerts/{alert.pk}/acknowledge/", follow=True)
    assert "Not acknowledged, it is resolved already: reward fell" in answer.content.decode()
    alert.refresh_from_db()
    assert alert.acknowledged_at is None
    assert client_of("operator").get(f"/alerts/{alert.pk + 1}/acknowledge/").status_code == 404


def test_all_open_alerts_are_listed_by_the_page_newest_first(policy, monkeypatch):
    monkeypatch.setattr(alert_pages, "ALERTS_PER_PAGE", 2)
    now = timezone.now()
    run = finished_run(policy, status="failed")
    opened(policy, MARKUP, opened_at=now, run=run)
    opened(None, "silent", opened_at=now - timedelta(minutes=1), acknowledged_at=now, acknowledged_by=user_of("viewer"))
    opened(PolicyStore.objects.create(name="other"), "too slow", opened_at=now - timedelta(minutes=2))
    opened(PolicyStore.objects.create(name="gone"), "over", resolved_at=now)
    html = client_of("operator").get("/alerts/").content.decode()
    assert MARKUP not in html
    assert f'<a href="/runs/{run.run_id}/">See the run' in html
    first, second = words(client_of("operator"), "/alerts/"), words(client_of("operator"), "/alerts/?page=2")
    assert re.search(r"rl_v3 &lt;script&gt;.* Acknowledge alert \d+ .*the system silent [-0-9 :]+ by viewer", first)
    assert "1 to 2 of 3" in first
    assert re.search(r"other too slow Acknowledge alert \d+ ", second)
    assert "over" not in second
    assert "not yet" in words(client_of("viewer"), "/alerts/")


def test_nothing_open_is_said(policy):
    assert "No alert is open." in words(client_of("viewer"), "/alerts/")
