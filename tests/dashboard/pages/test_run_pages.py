import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.pages.run_pages import RUNS_PER_PAGE, config_changes
from rl_training.models import PolicyStore, PolicyVersion, TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from tests.stored import MARKUP, finished_run

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)
LOOKING = ("view_policystore", "view_trainingrun", "view_policyversion", "view_trainingevent")


@pytest.fixture
def user(django_user_model):
    user = django_user_model.objects.create_user("quant")
    found = Permission.objects.filter(codename__in=LOOKING, content_type__app_label="rl_training")
    user.user_permissions.set(found)
    return user


@pytest.fixture
def page(client, user):
    """The text of a page as a user sees it who may look at everything and do nothing."""
    client.force_login(user)

    def get(url):
        response = client.get(url)
        assert response.status_code == 200
        return response.content.decode()

    return get


def words(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def listed(html):
    return re.findall(r'href="/runs/([0-9a-f]{12})/"', html)


def queued(policy, minute, **columns):
    return finished_run(policy, queued_at=START + timedelta(minutes=minute), **columns)


def version_of(run, number=1, evaluation=None):
    return PolicyVersion.objects.create(
        policy=run.policy, number=number, run=run, artifact="a", sha256="b" * 64, evaluation=evaluation or {}
    )


def test_the_list_is_newest_first_and_read_page_by_page(page, policy):
    runs = [queued(policy, minute // 2).run_id for minute in range(2 * RUNS_PER_PAGE + 1)]  # two of a time
    seen, address = [], "/runs/"
    while address:
        html = page(address)
        seen += listed(html)
        older = re.search(r'href="([^"]*)" rel="next"', html)
        address = f"/runs/{older[1]}" if older else ""
    assert seen == runs[::-1]
    assert "Newest" in words(html)


def test_a_run_that_comes_meanwhile_moves_no_page(page, policy):
    for minute in range(RUNS_PER_PAGE + 1):
        queued(policy, minute)
    older = re.search(r'href="([^"]*)" rel="next"', page("/runs/"))[1]
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
def test_filters(page, policy, query, found):
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
def test_a_filter_that_means_nothing_lists_nothing_and_is_no_error(page, policy, query):
    assert listed(page(f"/runs/?{query}")) == []


def test_a_page_of_the_list_takes_a_fixed_number_of_queries(page, policy):
    def count():
        with CaptureQueriesContext(connection) as queries:
            page("/runs/")
        return len(queries)

    queued(policy, 0)
    before = count()
    for minute in range(5):
        queued(PolicyStore.objects.create(name=f"other_{minute}"), minute)
    assert count() == before


def test_a_run_shows_what_it_was_told_and_how_it_went(page, policy):
    config = {"seed": 7, "episodes": 2, "ppo": {"gamma": 0.9, "hidden_sizes": [8, 8]}}
    market = {"name": "sp500", "digest": "abc123", "first": "1999-01-04", "last": "2018-12-31", "bars": 5031}
    run = finished_run(policy, config=config, market_summary=market, avg_reward=0.25, duration_seconds=75, attempt=1)
    version_of(run, 3)
    text = words(page(f"/runs/{run.run_id}/"))
    for expected in ("succeeded", "1 min 15 s", "0.25", "gamma 0.9", "hidden_sizes 8, 8", "digest abc123", "version 3"):
        assert expected in text
    assert "first 1999-01-04 last 2018-12-31" in text
    assert "The first run of this policy." in text


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("queued", "Noted once the data is loaded."),
        ("running", "Noted once the data is loaded."),
        ("failed", "The run ended before its data was loaded."),
        ("cancelled", "The run ended before its data was loaded."),
    ],
)
def test_a_run_without_data_says_whether_it_comes(page, policy, status, said):
    run = finished_run(policy, status=status)
    if status in ("queued", "running"):
        TrainingRun.objects.update(finished_at=None)
    assert f"Data {said}" in words(page(f"/runs/{run.run_id}/"))


def test_config_changes_since_the_run_before(page, policy):
    first = queued(policy, 0, config={"seed": 1, "episodes": 2, "ppo": {"gamma": 0.9}})
    second = queued(policy, 1, config={"seed": 2, "episodes": 2, "ppo": {"gamma": 0.9}})
    third = queued(policy, 2, config={"seed": 3, "episodes": 4, "ppo": {"gamma": 0.9, "epochs": 3}})
    assert f"As in the run before, {first.run_id} , but for the seed." in words(page(f"/runs/{second.run_id}/"))
    text = words(page(f"/runs/{third.run_id}/"))
    assert f"Changed since run {second.run_id}" in text
    assert "episodes 2 4 ppo.epochs - 3" in text


@pytest.mark.parametrize("config", [None, [], "text", {"ppo": [1]}, {"ppo": {"x": {"y": None}}}])
def test_a_snapshot_of_another_schema_is_no_error(page, policy, config):
    run = finished_run(policy, config=config if config is not None else {}, market_summary=config)
    page(f"/runs/{run.run_id}/")
    assert config_changes(config, config) == []


def test_events_error_and_traceback(page, policy):
    run = finished_run(policy, status="failed", error="no file x.csv", traceback="Traceback:\n  here")
    TrainingEvent.objects.create(event_type="rl_v3.training.completed", run=run, payload={"success": False})
    html = page(f"/runs/{run.run_id}/")
    assert "no file x.csv" in html
    assert "Traceback:\n  here" in html
    assert "rl_v3.training.completed waits for its stream" in words(html)
    assert "&quot;success&quot;: false" in html


def test_an_active_run_shows_its_progress_and_can_be_cancelled_by_those_who_may(page, policy, user):
    run = TrainingRun.objects.create(
        policy=policy, status="running", trigger="api", episodes=8, episodes_done=3, config={}
    )
    address = f"/runs/{run.run_id}/"
    html = page(address)
    assert "<span data-episode>3</span> of 8" in html
    assert "/cancel/" not in html
    user.user_permissions.add(Permission.objects.get(codename="change_trainingrun"))
    assert f'href="/runs/{run.run_id}/cancel/' in page(address)
    lifecycle.cancel(run)
    assert "ends after its present iteration" in page(address)
    TrainingRun.objects.update(status="succeeded", finished_at=START)
    html = page(address)
    assert "/cancel/" not in html
    assert "data-live" not in html


def test_a_version_shows_its_evaluation(page, policy):
    run = finished_run(policy)
    performance = {"total_return": 0.25, "sharpe_interval": [0.5, 2.5], "equity_curve": [1.0, 1.25]}
    version_of(run, evaluation=performance | {"timestamps": ["2018-01-02T00:00:00Z", "2018-01-03T00:00:00Z"]})
    version_of(finished_run(policy), 2)
    html = page("/policies/rl_v3/versions/1/")
    text = words(html)
    assert "Total return 25.00 %" in text
    assert "Its 95 % interval 0.5 to 2.5" in text
    assert "At the end: policy 1.250." in text
    assert '<figure class="chart" data-chart="/charts/rl_v3/versions/1/drawdown.json">' in html
    assert f"/runs/{run.run_id}/" in html
    assert "Version 2" in text
    assert "No evaluation is stored with this version." in page("/policies/rl_v3/versions/2/")


@pytest.mark.parametrize(
    "url", ["/runs/0123456789ab/", "/runs/x/", "/policies/rl_v3/versions/9/", "/policies/x/versions/1/"]
)
def test_what_is_not_there_is_not_found(client, user, policy, url):
    client.force_login(user)
    assert client.get(url).status_code == 404


def test_pages_are_for_those_who_may_look(client, policy, django_user_model):
    run = finished_run(policy)
    version_of(run)
    urls = ["/runs/", f"/runs/{run.run_id}/", "/policies/rl_v3/versions/1/"]
    for url in urls:
        assert client.get(url).url == f"/accounts/login/?next={url}"
    client.force_login(django_user_model.objects.create_user("nobody"))
    assert [client.get(url).status_code for url in urls] == [403, 403, 403]


def test_stored_markup_is_shown_as_text_and_no_name_breaks_a_page(page, policy):
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
