import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.pages.run_configs import config_changes
from dashboard.pages.runs import RUNS_PER_PAGE
from rl_training.models import PolicyStore, TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from tests.dashboard.pages.page_rows import active_run, version_of
from tests.dashboard.pages.page_text import words
from tests.stored import MARKUP, deploy, finished_run

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)


def listed(html):
    return re.findall(r'href="/runs/([0-9a-f]{12})/"', html)


def queued(policy, minute, **columns):
    return finished_run(policy, queued_at=START + timedelta(minutes=minute), **columns)


def test_runs_are_listed_newest_first_in_pages(page, policy):
    runs = [queued(policy, minute // 2).run_id for minute in range(2 * RUNS_PER_PAGE + 1)]  # two at each time
    seen, url = [], "/runs/"
    while url:
        html = page(url)
        seen += listed(html)
        older = re.search(r'href="([^"]*)" rel="next"', html)
        url = f"/runs/{older[1]}" if older else ""
    assert seen == runs[::-1]
    assert "Newest" in words(html)


def test_new_run_does_not_move_the_next_page(page, policy):
    for minute in range(RUNS_PER_PAGE + 1):
        queued(policy, minute)
    [older] = re.findall(r'href="([^"]*)" rel="next"', page("/runs/"))
    before = listed(page(f"/runs/{older}"))
    queued(policy, 1000)
    assert listed(page(f"/runs/{older}")) == before


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [3, 2, 1, 0]),
        ("policy=other", [3]),
        ("policy=nobody", []),
        ("status=failed", [1]),
        ("trigger=api", [2]),
        ("status=failed&trigger=api", []),
        ("since=2026-01-01T00:01", [3, 2, 1]),
        ("since=2026-01-01T00:01&until=2026-01-01T00:02", [1]),
        ("policy=rl_v3&status=succeeded", [2, 0]),
    ],
)
def test_runs_are_filtered(page, policy, query, found):
    runs = [
        queued(policy, 0),
        queued(policy, 1, status="failed", error="no file"),
        queued(policy, 2, trigger="api"),
        queued(PolicyStore.objects.create(name="other"), 3),
    ]
    assert listed(page(f"/runs/?{query}")) == [runs[index].run_id for index in found]


@pytest.mark.parametrize(
    "query",
    [
        "status=no",
        "since=never",
        "since=0001-01-01T00:00:00%2B14:00",
        "until=9999-12-31T23:59:00-23:59",
        "before=x",
        "policy=a%00b",
        f"before={'9' * 17}-1",
    ],
)
def test_invalid_filter_lists_nothing_and_is_no_error(page, policy, query):
    assert listed(page(f"/runs/?{query}")) == []


def test_list_makes_a_fixed_number_of_queries(page, policy):
    def count():
        with CaptureQueriesContext(connection) as queries:
            page("/runs/")
        return len(queries)

    queued(policy, 0)
    before = count()
    for minute in range(5):
        queued(PolicyStore.objects.create(name=f"other_{minute}"), minute)
    assert count() == before


def test_list_and_page_show_who_triggered_a_run_and_its_version(page, policy, viewer):
    run = queued(policy, 1, trigger="api", triggered_by=viewer)
    version_of(run, 7)
    queued(policy, 0)
    html = page("/runs/")
    assert "api by viewer" in words(html)
    assert '<a href="/policies/rl_v3/versions/7/">version 7</a>' in html
    assert words(html).count(" by ") == 1
    assert "api by viewer" in words(page(f"/runs/{run.run_id}/"))


def test_run_shows_its_config_data_and_results(page, policy):
    config = {"seed": 7, "episodes": 2, "ppo": {"gamma": 0.9, "hidden_sizes": [8, 8]}}
    market = {"name": "sp500", "digest": "abc123", "first": "1999-01-04", "last": "2018-12-31", "bars": 5031}
    run = finished_run(policy, config=config, market_summary=market, avg_reward=0.25, duration_seconds=75, attempt=1)
    version_of(run, 3)
    text = words(page(f"/runs/{run.run_id}/"))
    for expected in ("succeeded", "1 min 15 s", "0.25", "gamma 0.9", "hidden_sizes 8, 8", "digest abc123", "version 3"):
        assert expected in text
    assert "first 1999-01-04 last 2018-12-31" in text
    assert "This is the first run of the policy." in text


@pytest.mark.parametrize(
    ("evaluation", "end"),
    [
        (
            {"total_return": 0.125, "buy_and_hold": {"total_return": -0.5}},
            " On held-out bars, version 3 returned 12.50 %, buy and hold -50.00 %, flat 0 %.",
        ),
        ({"total_return": 0.125}, " Average"),
        ([], " Average"),
    ],
)
def test_successful_run_says_what_it_made_and_its_held_out_result(page, policy, evaluation, end):
    run = finished_run(policy, duration_seconds=75, avg_reward=0.25)
    version_of(run, 3, evaluation)
    text = words(page(f"/runs/{run.run_id}/"))
    assert f"Succeeded after 1 min 15 s. It made version 3.{end.removesuffix(' Average')}" in text
    assert ("On held-out bars" in text) == end.startswith(" On")


def test_run_shows_its_computing_environment_and_what_differed_before(page, policy):
    environment = {"code": {"version": "1"}, "kernels": {"processor": "znver4"}, "device": "cpu", "threads": None}
    earlier = environment | {"kernels": {"processor": "haswell"}}
    stored = environment | {"earlier": [earlier]}
    run = finished_run(policy, computing_environment=stored)
    text = words(page(f"/runs/{run.run_id}/"))
    assert "code.version 1 device cpu kernels.processor znver4" in text
    assert "earlier attempt, difference 1 kernels.processor: haswell" in text
    assert "Computing environment" not in words(page(f"/runs/{finished_run(policy).run_id}/"))


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_run_without_a_version_says_how_far_it_came(page, policy, status):
    run = finished_run(policy, status=status, duration_seconds=4.0, episodes=1000, episodes_done=7)
    expected = f"{status.capitalize()} after 4.0 s, with 7 of 1,000 episodes done. It made no version."
    assert expected in words(page(f"/runs/{run.run_id}/"))


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("queued", "Shown once the data is loaded."),
        ("running", "Shown once the data is loaded."),
        ("failed", "The run ended before its data was loaded."),
        ("cancelled", "The run ended before its data was loaded."),
    ],
)
def test_run_without_market_data_says_whether_it_comes(page, policy, status, sentence):
    run = finished_run(policy, status=status)
    if status in ("queued", "running"):
        TrainingRun.objects.update(finished_at=None)
    assert f"Data {sentence}" in words(page(f"/runs/{run.run_id}/"))


def test_config_changes_since_the_previous_run_are_shown(page, policy):
    first = queued(policy, 0, config={"seed": 1, "episodes": 2, "ppo": {"gamma": 0.9}})
    second = queued(policy, 1, config={"seed": 2, "episodes": 2, "ppo": {"gamma": 0.9}})
    third = queued(policy, 2, config={"seed": 3, "episodes": 4, "ppo": {"gamma": 0.9, "epochs": 3}})
    assert f"The same as run {first.run_id} , except for the seed." in words(page(f"/runs/{second.run_id}/"))
    text = words(page(f"/runs/{third.run_id}/"))
    assert f"Changed since run {second.run_id}" in text
    assert "episodes 2 4 ppo.epochs - 3" in text


@pytest.mark.parametrize(
    "config",
    [None, [], "text", {"ppo": [1]}, {"ppo": {"x": {"y": None}}}, {"ppo": {"x": {}}}, {"market": {"source": []}}],
)
def test_snapshot_with_another_schema_is_no_error(page, policy, config):
    run = finished_run(policy, config=config if config is not None else {}, market_summary=config)
    page(f"/runs/{run.run_id}/")
    assert config_changes(config, config) == []


def test_failed_run_shows_events_error_and_traceback(page, policy):
    run = finished_run(policy, status="failed", error="no file x.csv", traceback="Traceback:\n  here")
    TrainingEvent.objects.create(event_type="rl_v3.training.completed", run=run, payload={"success": False})
    html = page(f"/runs/{run.run_id}/")
    assert "no file x.csv" in html
    assert "Traceback:\n  here" in html
    assert "rl_v3.training.completed not published yet" in words(html)
    assert "&quot;success&quot;: false" in html


def test_active_run_shows_progress_and_a_link_to_cancel(page, policy, viewer):
    run = active_run(policy, episodes_done=3)
    url = f"/runs/{run.run_id}/"
    html = page(url)
    assert "<span data-episode>3</span> of 8" in html
    assert "/cancel/" not in html
    viewer.user_permissions.add(Permission.objects.get(codename="change_trainingrun"))
    assert f'href="/runs/{run.run_id}/cancel/' in page(url)
    lifecycle.cancel(run)
    assert "ends after its present iteration" in page(url)
    TrainingRun.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=20))
    assert "ends when its worker counts as lost, within" in page(url)
    TrainingRun.objects.update(status="succeeded", finished_at=START)
    html = page(url)
    assert "/cancel/" not in html
    assert "data-live" not in html


def test_large_numbers_of_episodes_are_grouped(page, policy):
    run = active_run(policy, episodes=100_000, episodes_done=11_104)
    for url in ("/", "/policies/rl_v3/", f"/runs/{run.run_id}/"):
        assert "Episode 11,104 of 100,000" in words(page(url))
    TrainingRun.objects.update(status="cancelled", finished_at=START)
    assert "Episodes 11,104 of 100,000" in words(page(f"/runs/{run.run_id}/"))
    assert "11,104 of 100,000" in words(page("/runs/"))


def test_queued_run_has_not_started_from_scratch_yet(page, policy):
    run = active_run(policy, status="queued", attempt=0)
    assert "Started from scratch not started yet" in words(page(f"/runs/{run.run_id}/"))


def test_run_page_shows_what_the_run_really_started_from(page, policy):
    version = version_of(finished_run(policy))
    run = finished_run(policy, initial_version=version)
    assert "Started from version 1 not loaded" in words(page(f"/runs/{run.run_id}/"))
    TrainingRun.objects.filter(pk=run.pk).update(start_note="version 1 cannot be continued: features differ")
    assert "Started from scratch version 1 cannot be continued" in words(page(f"/runs/{run.run_id}/"))
    TrainingRun.objects.filter(pk=run.pk).update(started_from=version, start_note="")
    assert "Started from version 1 Made" in words(page(f"/runs/{run.run_id}/"))


def test_run_page_says_whether_its_version_is_live(page, policy):
    first, second = (version_of(finished_run(policy), number=number) for number in (1, 2))
    deploy(first)
    assert "Made version 1 , live" in words(page(f"/runs/{first.run.run_id}/"))
    deploy(second)
    assert ", live" not in words(page(f"/runs/{first.run.run_id}/"))


@pytest.mark.parametrize("url", ["/runs/0123456789ab/", "/runs/x/"])
def test_unknown_run_is_not_found(client, viewer, policy, url):
    client.force_login(viewer)
    assert client.get(url).status_code == 404


def test_pages_require_the_permission_to_view(client, policy, django_user_model):
    run = finished_run(policy)
    version_of(run)
    urls = ["/runs/", f"/runs/{run.run_id}/", "/policies/rl_v3/versions/1/"]
    for url in urls:
        assert client.get(url).url == f"/accounts/login/?next={url}"
    client.force_login(django_user_model.objects.create_user("nobody"))
    assert [client.get(url).status_code for url in urls] == [403, 403, 403]


def test_stored_markup_is_shown_as_text(page, policy):
    PolicyStore.objects.update(name=MARKUP)
    policy.refresh_from_db(fields=["name"])
    payload = {"error": MARKUP, MARKUP: "\ud800"}
    run = finished_run(
        policy,
        status="failed",
        error=MARKUP,
        traceback=MARKUP,
        config={MARKUP: MARKUP},
        market_summary={MARKUP: MARKUP},
    )
    if connection.vendor == "postgresql":
        payload[MARKUP] = MARKUP
    TrainingEvent.objects.create(event_type=f"{MARKUP}.training.completed", run=run, payload=payload)
    version_of(run)
    urls = ["/runs/", f"/runs/{run.run_id}/"]
    urls += re.findall(r'href="([^"]*/versions/[^"]*)"', page(urls[1]))
    assert len(urls) == 3
    for url in urls:
        html = page(url)
        assert MARKUP not in html
        assert MARKUP.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;") in html
