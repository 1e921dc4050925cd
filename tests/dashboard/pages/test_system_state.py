import re
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from dashboard.pages import system_state
from rl_training.alerts.models import Alert, AlertRule
from rl_training.models import PolicyStore
from tests.dashboard.pages.page_text import words
from tests.stored import finished_run

pytestmark = pytest.mark.django_db
IMAGE = "<img src=x onerror=alert(1)>"
HEALTHY = {part: {"state": "ok", "seconds_ago": 0.5} for part in ("database", "redis", "beat", "worker")}
IDLE = {"oldest_queued_seconds": None, "outbox_lag": {"events": 0, "oldest_seconds": None}}


@pytest.fixture(autouse=True)
def state(monkeypatch):
    """The state of the system that the pages show; a test may change it."""
    found = {**HEALTHY, **IDLE, "at": timezone.now()}
    monkeypatch.setattr(system_state, "STATE", system_state.Shared(lambda: found))
    return found


def test_overview_of_a_healthy_system_says_healthy(page, policy):
    finished_run(policy)
    text = words(page("/"))
    assert "Training is healthy 0 running, 0 queued" in text
    assert re.search("Beat heartbeat [0-9] s ago", text)


def test_heartbeat_has_its_time_and_the_age_at_which_it_is_silent(page, policy, state):
    state["at"] = datetime(2026, 1, 1, 12, tzinfo=UTC)
    state["beat"] = {"state": "ok", "seconds_ago": 2.0}
    html = page("/")
    assert 'data-since="2026-01-01T11:59:58+00:00" data-stale-after="15"' in html
    assert '<li class="ok" data-heartbeat="beat" data-ages="silent">' in html


@pytest.mark.parametrize(
    ("changes", "sentence", "problem", "remedy"),
    [
        ({"beat": "silent"}, "Training is held up", "Beat is silent", "celery -A celery_app beat"),
        ({"worker": "silent"}, "Training is held up", "No worker sends a heartbeat", "worker -Q training"),
        ({"redis": "away"}, "Training is held up", "Redis does not answer", "REDIS_URL"),
        ({"alerts": "silent"}, "Training needs attention", "The alerts process is silent", "log"),
    ],
)
def test_lost_part_is_shown_with_its_remedy(page, policy, state, changes, sentence, problem, remedy):
    for part, word in changes.items():
        state[part] = {"state": word, "seconds_ago": None}
    text = words(page("/"))
    assert all(shown in text for shown in (sentence, problem, remedy))


def test_long_waiting_runs_and_events_are_shown(page, policy, state):
    state |= {"oldest_queued_seconds": 400.0, "outbox_lag": {"events": 12, "oldest_seconds": 90.0}}
    text = words(page("/"))
    assert "A run has waited for a worker for 6 min 40 s . All workers may be busy: start another worker." in text
    assert "See the queued runs." in text
    assert "12 events waiting for the stream, for up to 1 min 30 s ." in text


def test_failing_policies_are_named_and_listed(page, policy):
    finished_run(policy, status="failed", error="no file x.csv")
    other = PolicyStore.objects.create(name="other")
    finished_run(other, status="failed")
    finished_run(other)
    text = words(page("/"))
    assert "The last run of rl_v3 failed. See its error." in text
    assert "no file x.csv" in text
    finished_run(policy, status="cancelled")
    assert "The last run of rl_v3 failed; newer runs were cancelled. See its error." in words(page("/"))
    assert "other" not in words(page("/?show=failing"))
    PolicyStore.objects.filter(name="rl_v3").update(enabled=False)
    assert "The last run of" not in words(page("/"))


def test_open_alert_is_shown_until_it_is_acknowledged(page, policy):
    rule, _ = AlertRule.objects.get_or_create(policy=policy, kind="run_failed")
    alert = Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message=f"reward fell {IMAGE}")
    html = page("/")
    assert "Alert of rl_v3: reward fell" in words(html)
    assert "Acknowledge" not in words(html)
    assert IMAGE not in html
    alert.acknowledged_at = timezone.now()
    alert.save()
    assert "reward fell" not in words(page("/"))


def test_status_sentence_counts_open_alerts(page, policy):
    rule, _ = AlertRule.objects.get_or_create(policy=policy, kind="run_failed")
    alert = Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message="no")
    assert "Training needs attention; 1 alert is open" in words(page("/"))
    alert.acknowledged_at = timezone.now()
    alert.save()
    assert "Training is healthy; 1 acknowledged alert is open" in words(page("/"))
    alert.resolved_at = timezone.now()
    alert.save()
    assert "Training is healthy 0 running" in words(page("/"))


def test_waiting_time_counts_from_the_start_of_waiting(page, policy, state):
    state |= {"at": datetime(2026, 1, 1, 12, tzinfo=UTC), "oldest_queued_seconds": 400.0}
    assert 'data-since="2026-01-01T11:53:20+00:00"' in page("/")


def test_notice_is_listed_and_needs_no_attention(page, policy):
    rule = AlertRule.objects.get_or_create(policy=policy, kind="live_changed")[0]
    Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message="Version 2 is live.")
    html = page("/")
    assert "Training is healthy; 1 alert is open" in words(html)
    assert '<li class="notice">Alert of rl_v3: Version 2 is live.' in html
