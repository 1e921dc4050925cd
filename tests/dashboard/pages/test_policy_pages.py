import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.charts.evaluations import shown
from dashboard.templatetags.figures import figure, percent, seconds, share
from rl_training import roles
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun
from tests.stored import MARKUP, finished_run, store_raw

pytestmark = pytest.mark.django_db
PERFORMANCE = {"total_return": 0.25, "sharpe": 1.5, "sharpe_interval": [0.5, 2.5], "equity_curve": [1.0, 0.9, 1.25]}
EVALUATION = PERFORMANCE | {
    "bars": 2,
    "timestamps": ["2018-01-02T00:00:00Z", "2018-01-03T00:00:00Z", "2018-01-04T00:00:00Z"],
    "buy_and_hold": PERFORMANCE | {"total_return": -0.1, "equity_curve": [1.0, 1.1, 0.9]},
    "flat": {"total_return": 0.0, "sharpe": None, "sharpe_interval": None, "equity_curve": [1.0, 1.0, 1.0]},
}


@pytest.fixture
def page(client, django_user_model):
    """The text of a page as a viewer who is not of the staff sees it."""
    quant = django_user_model.objects.create_user("quant")
    quant.groups.add(viewers())
    client.force_login(quant)

    def get(url):
        response = client.get(url)
        assert response.status_code == 200
        return response.content.decode()

    return get


def viewers():
    # A test that commits empties the tables, the groups that a migration made included.
    roles.grant(apps)
    return Group.objects.get(name=roles.VIEWER)


def words(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def version_of(run, evaluation):
    return PolicyVersion.objects.create(
        policy=run.policy, number=1, run=run, artifact="a", sha256="b", evaluation=evaluation
    )


@pytest.mark.parametrize("url", ["/", "/policies/rl_v3/"])
def test_pages_ask_for_a_login_and_come_back(client, policy, url):
    response = client.get(url)
    assert response.status_code == 302
    assert response.url == f"/accounts/login/?next={url}"


def test_a_policy_that_waits(page, policy):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(minutes=30, seconds=30))
    assert re.search(r"rl_v3 waiting in 30 min \d+ s every 60 min no run yet - - no run yet", words(page("/")))


def test_a_disabled_policy(page, policy):
    PolicyStore.objects.update(enabled=False)
    assert "rl_v3 disabled not while disabled" in words(page("/"))


def test_a_running_policy_shows_its_progress(page, policy):
    TrainingRun.objects.create(
        policy=policy, status="running", trigger="schedule", episodes=8, episodes_done=3, config={}
    )
    for url in ("/", "/policies/rl_v3/"):
        html = page(url)
        assert '<progress value="0.3750" max="1"' in html
        assert "Episode 3 of 8" in words(html)
        assert "after this run" in words(html)


def test_the_last_outcome_and_the_success_rate(page, policy):
    finished_run(policy)
    finished_run(policy)
    finished_run(policy, status="failed", error="no file x.csv")
    for url in ("/", "/policies/rl_v3/"):
        html = page(url)
        text = words(html)
        assert "67 %" in text
        assert 'aria-label="2 of the last 3 runs succeeded"' in html
        assert "no file x.csv" in text


def test_the_list_makes_a_fixed_number_of_queries(page, policy):
    def count():
        with CaptureQueriesContext(connection) as queries:
            page("/")
        return len(queries)

    finished_run(policy)
    before = count()
    for number in range(5):
        finished_run(PolicyStore.objects.create(name=f"other_{number}"))
    assert count() == before


def test_the_evaluation_stands_beside_buy_and_hold_and_flat(page, policy):
    version_of(finished_run(policy), EVALUATION)
    html = page("/policies/rl_v3/")
    text = words(html)
    assert "Version 1 on bars it was not trained on" in text
    assert "On 2 bars that it was not trained on, 2018-01-02 to 2018-01-04" in text
    assert "Total return 25.00 % -10.00 % 0.00 %" in text
    assert "Its 95 % interval 0.5 to 2.5 0.5 to 2.5 -" in text
    assert 'href="/policies/rl_v3/versions/1/"' in html


def test_each_run_has_its_row_and_its_place_in_the_charts(page, policy):
    run = finished_run(policy, avg_reward=0.25, final_reward=-0.5, duration_seconds=75)
    finished_run(policy, avg_reward=-0.1)
    finished_run(policy, status="failed", error="no")
    html = page("/policies/rl_v3/")
    assert html.count('<figure class="chart"') == 6
    assert "The last 3 finished runs" in html
    assert f"{run.run_id} succeeded 2 1 min 15 s 0.25 -0.5" in words(html)


def test_a_policy_without_runs_or_versions(page, policy):
    text = words(page("/policies/rl_v3/"))
    assert "There is no version yet" in text
    assert "No run has finished yet." in text
    assert "gamma 0.99" in text
    assert "interval_minutes 60" in text


@pytest.mark.parametrize(
    "evaluation",
    [
        {},
        [],
        "text",
        {"total_return": None},
        {"equity_curve": [1.0]},
        {"equity_curve": [1.0, None]},
        {"equity_curve": [1.0, 1e300], "timestamps": [1, 2]},
        {"sharpe_interval": [1], "buy_and_hold": 3, "bars": "many", "timestamps": "x"},
        {"buy_and_hold": PERFORMANCE},
    ],
)
def test_an_evaluation_of_another_version_of_the_backtest_is_no_error(page, policy, evaluation):
    version_of(finished_run(policy, avg_reward=1e300), evaluation)
    page("/policies/rl_v3/")


def test_an_evaluation_without_curves_still_shows_its_figures():
    assert shown({"total_return": 0.1}).rows == (("Total return", "10.00 %", "-", "-"),)
    assert shown({"total_return": 0.1}).charts == {}


def test_a_policy_stored_invalid_says_what_is_wrong(page, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    PolicyStore.objects.update(schedule_error="ppo.gamma")
    assert "Not started: ppo.gamma" in words(page("/"))
    assert "gamma: Input should be less than or equal to 1, got 7" in words(page("/policies/rl_v3/"))


@pytest.mark.parametrize("name", ["other", "rl_v3%00", "%3Cscript%3E", "..%2f"])
def test_an_unknown_policy_is_not_found(page, client, policy, name):
    assert client.get(f"/policies/{name}/").status_code == 404


def test_stored_markup_is_shown_as_text(page, policy):
    run = finished_run(policy, status="failed", error=MARKUP)
    store_raw(policy, "market", {"source": MARKUP})
    PolicyStore.objects.update(schedule_error=MARKUP)
    version_of(run, EVALUATION | {"timestamps": [MARKUP, MARKUP, MARKUP]})
    for url in ("/", "/policies/rl_v3/"):
        assert MARKUP not in page(url)


class Attributes(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found += [(tag, *attribute) for attribute in attributes]


def test_pages_hold_no_inline_code_and_load_nothing_from_elsewhere(page, client, policy):
    version_of(finished_run(policy), EVALUATION)
    for url in ("/", "/policies/rl_v3/"):
        html = page(url)
        assert "<style" not in html
        attributes = Attributes(html).found
        assert not [name for _, name, _ in attributes if name == "style" or name.startswith("on")]
        assert all(value[0] in "/#" for _, name, value in attributes if name in ("href", "src"))
        policy_header = client.get(url).headers["Content-Security-Policy"]
        assert policy_header.startswith("default-src 'none'; script-src 'self'; style-src 'self';")


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (figure, 0.123456, "0.1235"),
        (figure, -12345.6, "-12,346"),
        (figure, float("nan"), "-"),
        (figure, None, "-"),
        (percent, -0.12345, "-12.35 %"),
        (share, 1.0, "100 %"),
        (share, 0.9999, "99 %"),
        (share, 0.0001, "1 %"),
        (share, 0.0, "0 %"),
        (seconds, 4.25, "4.2 s"),
        (seconds, 200, "3 min 20 s"),
        (seconds, 7500, "2 h 5 min"),
    ],
)
def test_figures(form, value, text):
    assert form(value) == text
