import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from dashboard.pages import alerts
from rl_training.alerts.models import Alert, AlertRule
from rl_training.models import PolicyStore
from tests.api_clients import user_of
from tests.dashboard.pages.page_text import words
from tests.stored import MARKUP, finished_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(signed_in):
    return signed_in("operator")


def opened(policy, message="reward fell", **columns):
    """Store an alert of the policy; None: of the system."""
    # A test that commits empties all tables, even of the system's rules, which a migration created.
    rule, _ = AlertRule.objects.get_or_create(policy=policy, kind="run_failed" if policy else "beat_silent")
    return Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message=message, **columns)


def text(client, url):
    return words(client.get(url).content.decode())


def test_overview_offers_acknowledging_to_operators_only(signed_in, operator, policy):
    alert = opened(policy)
    opened(None, "beat is silent")
    shown = re.sub(r"\d+ s ago", "0 s ago", text(operator, "/"))
    assert "Alert of rl_v3: reward fell 0 s ago Acknowledge it." in shown
    assert "Alert: beat is silent 0 s ago Acknowledge it." in shown
    link = f'href="/alerts/{alert.pk}/acknowledge/?next=/" data-question'
    assert link in operator.get("/").content.decode()
    assert "Acknowledge" not in text(signed_in("viewer"), "/")


def test_overview_with_many_alerts_links_to_all(operator, policy):
    for number in range(6):
        other = PolicyStore.objects.create(name=f"other_{number}")
        opened(other, f"reward fell by {number}")
    assert '<a href="/alerts/">See all alerts.</a>' in operator.get("/").content.decode()
    assert text(operator, "/alerts/").count("reward fell by") == 6


def test_acknowledging_is_logged_and_returns_to_the_page(operator, policy):
    alert = opened(policy)
    url = f"/alerts/{alert.pk}/acknowledge/"
    assert "Alert of rl_v3: reward fell" in text(operator, url)
    answer = operator.post(url, {"next": "/"}, follow=True)
    assert answer.redirect_chain == [("/", 302)]
    assert "Acknowledged: reward fell" in answer.content.decode()
    assert "Alert of rl_v3" not in text(operator, "/")
    alert.refresh_from_db()
    assert alert.acknowledged_by is not None
    assert (alert.state, alert.acknowledged_by.username) == ("acknowledged", "operator")
    assert LogEntry.objects.get().change_message == "Acknowledged."
    assert operator.post(url).url == "/alerts/"


def test_resolved_alert_cannot_be_acknowledged(operator, policy):
    alert = opened(policy, resolved_at=timezone.now())
    answer = operator.post(f"/alerts/{alert.pk}/acknowledge/", follow=True)
    assert "Not acknowledged, it is resolved already: reward fell" in answer.content.decode()
    alert.refresh_from_db()
    assert alert.acknowledged_at is None
    assert operator.get(f"/alerts/{alert.pk + 1}/acknowledge/").status_code == 404


def test_open_alerts_are_listed_newest_first_in_pages(signed_in, operator, policy, monkeypatch):
    monkeypatch.setattr(alerts, "ALERTS_PER_PAGE", 2)
    now = timezone.now()
    run = finished_run(policy, status="failed")
    opened(policy, MARKUP, opened_at=now, run=run)
    opened(None, "silent", opened_at=now - timedelta(minutes=1), acknowledged_at=now, acknowledged_by=user_of("viewer"))
    opened(PolicyStore.objects.create(name="other"), "too slow", opened_at=now - timedelta(minutes=2))
    opened(PolicyStore.objects.create(name="gone"), "over", resolved_at=now)
    html = operator.get("/alerts/").content.decode()
    assert MARKUP not in html
    assert f'<a href="/runs/{run.run_id}/">See the run' in html
    first, second = text(operator, "/alerts/"), text(operator, "/alerts/?page=2")
    assert re.search(r"rl_v3 &lt;script&gt;.* Acknowledge alert \d+ .*the system silent [-0-9 :]+ by viewer", first)
    assert "1 to 2 of 3" in first
    assert re.search(r"other too slow Acknowledge alert \d+ ", second)
    assert "over" not in second
    assert "not yet" in text(signed_in("viewer"), "/alerts/")


def test_list_without_open_alerts_shows_a_message(page, policy):
    assert "No alert is open." in words(page("/alerts/"))
