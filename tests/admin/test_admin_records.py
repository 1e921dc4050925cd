from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rl_training.admin.display import preformatted
from rl_training.core.market_config import MarketConfig
from rl_training.models import (
    ComparedVersion,
    Comparison,
    PolicyStore,
    PolicyVersion,
    TrainingEvent,
    TrainingRun,
    Trial,
)
from rl_training.validation import trials
from tests.stored import MARKUP, finished_run, skip_slots, store_raw, walked_forward

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(policy):
    """A run, its version and its event, full of markup."""
    run = finished_run(
        policy,
        error=MARKUP,
        traceback=f"line 1\n{MARKUP}",
        config={"x": MARKUP},
        market_summary={"z": 1},
        computing_environment={"device": MARKUP},
    )
    version = PolicyVersion.objects.create(
        policy=policy, number=1, run=run, artifact=MARKUP, sha256="ab" * 32, evaluation={"x": MARKUP}
    )
    event = TrainingEvent.objects.create(run=run, event_type="rl_v3.training.started", payload={"x": MARKUP})
    TrainingRun.objects.filter(pk=run.pk).update(initial_version=version)
    store_raw(policy, "ppo", {"gamma": 7})
    slots = skip_slots(policy, reason="invalid_settings", detail=MARKUP)
    comparison = Comparison.objects.create(size=2, market=MARKUP, error=MARKUP, result={"x": MARKUP})
    ComparedVersion.objects.create(comparison=comparison, version=version, place=0)
    other = PolicyStore.objects.create(name="other")
    validation = walked_forward(other, market=MARKUP, error=MARKUP, result={"x": MARKUP}, config={"x": MARKUP})
    trial = trials.begin(MarketConfig(), Trial.Kind.WALK_FORWARD, recipe="ab", policy=MARKUP)
    return {
        "trainingrun": run,
        "policyversion": version,
        "trainingevent": event,
        "slotrange": slots,
        "comparison": comparison,
        "validation": validation,
        "trial": trial,
    }


def test_lone_surrogate_is_shown_escaped():
    assert preformatted("<b>\ud800") == '<pre class="stored-text" tabindex="0">&lt;b&gt;\\ud800</pre>'


@pytest.mark.parametrize(
    "model", ["trainingrun", "policyversion", "trainingevent", "slotrange", "comparison", "validation", "trial"]
)
def test_rows_are_shown_as_text_and_are_read_only(admin_client, rows, model):
    url = f"/admin/rl_training/{model}/"
    row = f"{url}{rows[model].pk}/"
    assert admin_client.get(url).status_code == 200
    page = admin_client.get(f"{row}change/").content.decode()
    assert MARKUP not in page
    assert "&lt;script&gt;" in page
    assert [admin_client.get(f"{url}add/").status_code, admin_client.post(f"{row}change/").status_code] == [403, 403]
    assert admin_client.post(f"{row}delete/", {"post": "yes"}).status_code == 403


def test_run_links_to_task_version_and_events(admin_client, rows):
    run = rows["trainingrun"]
    page = admin_client.get(f"/admin/rl_training/trainingrun/{run.pk}/change/").content.decode()
    assert f'href="http://127.0.0.1:5555/task/{run.run_id}"' in page
    assert f'href="/admin/rl_training/policyversion/{rows["policyversion"].pk}/change/"' in page
    assert f'href="/admin/rl_training/trainingevent/{rows["trainingevent"].pk}/change/"' in page
    assert f'<pre class="stored-text" tabindex="0">line 1\n{"&lt;script&gt;"}' in page


def test_run_names_the_user_who_triggered_it(admin_client, policy, admin_user):
    run = finished_run(policy, trigger="api", triggered_by=admin_user)
    for url in ("", f"{run.pk}/change/"):
        page = admin_client.get(f"/admin/rl_training/trainingrun/{url}").content.decode()
        assert "api, by admin" in page


@pytest.mark.parametrize(
    ("model", "query", "found"),
    [
        ("trainingrun", {"policy": "rl_v3"}, 1),
        ("trainingrun", {"policy": "other"}, 0),
        ("trainingrun", {"status__exact": "failed"}, 0),
        ("trainingrun", {"q": "<script>"}, 1),
        ("trainingrun", {"q": "no such"}, 0),
        ("trainingrun", {"queued_at__year": "1999"}, 0),
        ("policyversion", {"policy": "rl_v3", "q": "abab"}, 1),
        ("trainingevent", {"policy": "rl_v3"}, 1),
        ("trainingevent", {"published_at__isempty": "0"}, 0),
        ("validation", {"policy": "other", "verdict__exact": "validated"}, 1),
        ("comparison", {"status__exact": "succeeded"}, 0),
        ("trial", {"q": "<script>"}, 1),
    ],
)
def test_rows_are_filtered_and_searched(admin_client, rows, model, query, found):
    response = admin_client.get(f"/admin/rl_training/{model}/", query)
    assert response.context["cl"].result_count == found


@pytest.mark.parametrize("query", [{"policy": "no\0such"}, {"q": "a\0b"}, {"p": "-1"}, {"status__exact": "\0"}])
def test_invalid_filter_shows_whole_list(admin_client, rows, query):
    assert admin_client.get("/admin/rl_training/trainingrun/", query, follow=True).status_code == 200


@pytest.mark.parametrize(
    "model", ["trainingrun", "policyversion", "trainingevent", "comparison", "validation", "trial"]
)
def test_lists_make_fixed_number_of_queries(admin_client, policy, model):
    def count():
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(f"/admin/rl_training/{model}/").status_code == 200
        return len(captured)

    def add(number):
        run = finished_run(policy, queued_at=timezone.now() - timedelta(minutes=number))
        version = PolicyVersion(policy=policy, number=number, run=run, artifact="a", sha256="b", evaluation={})
        version.save()
        comparison = Comparison.objects.create(size=2, market="sp500")
        ComparedVersion.objects.create(comparison=comparison, version=version, place=0)
        walked_forward(policy)
        TrainingEvent.objects.create(run=run, event_type="rl_v3.training.started", payload={})

    add(1)
    before = count()
    for number in range(2, 12):
        add(number)
    assert count() == before


def test_run_shows_what_it_really_started_from(admin_client, rows):
    run = rows["trainingrun"]
    url = f"/admin/rl_training/trainingrun/{run.pk}/change/"
    assert "Was to start from version 1" in admin_client.get(url).content.decode()
    TrainingRun.objects.filter(pk=run.pk).update(start_note="features differ")
    assert "Started from scratch: features differ" in admin_client.get(url).content.decode()
