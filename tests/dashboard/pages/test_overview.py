import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from dashboard.pages import overview
from rl_training.models import PolicyStore, TrainingRun
from rl_training.streams import progress
from tests.dashboard.pages.page_rows import active_run
from tests.dashboard.pages.page_text import words
from tests.stored import finished_run, walked_forward

pytestmark = pytest.mark.django_db
IMAGE, END_OF_SCRIPT = "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"


def listed(client, query=""):
    return [policy.name for policy in client.get(f"/{query}").context["policies"]]


@pytest.fixture
def client(client, viewer):
    client.force_login(viewer)
    return client


def test_policies_are_listed_in_pages(client, page, policy, monkeypatch):
    monkeypatch.setattr(overview, "POLICIES_PER_PAGE", 2)
    for number in range(3):
        PolicyStore.objects.create(name=f"other_{number}")
    assert listed(client) == ["other_0", "other_1"]
    assert listed(client, "?page=2") == ["other_2", "rl_v3"]
    assert "3 to 4 of 4" in words(page("/?page=2"))
    assert listed(client, "?name=RL") == ["rl_v3"]


@pytest.mark.parametrize("query", ["page=x", "page=99", "name=%00", "show=other", "name=" + "x" * 60])
def test_invalid_filter_is_no_error(client, policy, query):
    assert client.get(f"/?{query}").status_code == 200


@pytest.mark.parametrize(("show", "found"), [("active", ["b"]), ("disabled", ["c"]), ("failing", ["d"])])
def test_policies_are_filtered_by_state(client, policy, show, found):
    b, c, d = (PolicyStore.objects.create(name=name) for name in "bcd")
    active_run(b)
    PolicyStore.objects.filter(pk=c.pk).update(enabled=False)
    PolicyStore.objects.filter(pk=d.pk).update(schedule_error="ppo.gamma")
    assert listed(client, f"?show={show}") == found


def test_success_rate_counts_the_last_fifty_runs(page, policy):
    now = timezone.now()
    for number in range(60):
        run = finished_run(policy, status="failed" if number < 12 else "succeeded")
        TrainingRun.objects.filter(pk=run.pk).update(finished_at=now - timedelta(hours=60 - number))
    active_run(policy)
    html = page("/")
    assert 'aria-label="48 of the last 50 runs succeeded"' in html
    assert '<span class="rate">96 %</span>' in html


def test_waiting_policy_shows_when_it_is_due(page, policy):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(minutes=30, seconds=30))
    found = r"rl_v3 nothing is live no version yet not tried not measured waiting in 30 min \d+ s every 60 min none "
    assert re.search(found, words(page("/")))


def test_disabled_policy_is_not_due(page, policy):
    PolicyStore.objects.update(enabled=False)
    assert "rl_v3 nothing is live no version yet not tried not measured disabled not while disabled" in words(page("/"))


def test_list_makes_a_fixed_number_of_queries(page, policy):
    def count():
        with CaptureQueriesContext(connection) as queries:
            page("/")
        return len(queries)

    finished_run(policy)
    walked_forward(policy)
    before = count()
    for number in range(5):
        other = PolicyStore.objects.create(name=f"other_{number}")
        finished_run(other)
        walked_forward(other)
    assert count() == before


@pytest.mark.parametrize("name", [IMAGE, END_OF_SCRIPT])
def test_markup_in_names_errors_and_progress_is_text(client, policy, streams, name, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root"))
    PolicyStore.objects.update(name=name, schedule_error=IMAGE)
    policy.refresh_from_db(fields=["name"])
    finished_run(policy, status="failed", error=END_OF_SCRIPT + IMAGE)
    run = active_run(policy, started_at=timezone.now())
    progress.publish(run, {"episode": IMAGE, "avg_reward": END_OF_SCRIPT, "environment_steps": [IMAGE]})
    policy_url = reverse("dashboard:policy", args=[name])
    actions = [f"{policy_url}{what}/" for what in ("settings", "train", "enable", "disable")]
    for url in ("/", f"/?name={quote(name)}", policy_url, *actions, f"/runs/{run.run_id}/cancel/"):
        answer = client.get(url)
        assert answer.status_code == 200
        html = answer.content.decode()
        assert IMAGE not in html
        assert END_OF_SCRIPT not in html
        assert "&lt;" in html


def test_reason_why_a_slot_started_no_run_is_shown(page, policy):
    PolicyStore.objects.update(schedule_error="the queue is full")
    assert "Not started: the queue is full" in words(page("/"))
