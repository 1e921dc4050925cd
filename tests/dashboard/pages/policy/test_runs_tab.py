import pytest

from dashboard.charts.policies import CHARTS
from tests.dashboard.pages.page_text import words
from tests.stored import finished_run

pytestmark = pytest.mark.django_db
RUNS = "/policies/rl_v3/runs/"


def test_finished_runs_are_listed_and_charted(page, policy):
    run = finished_run(policy, avg_reward=0.25, final_reward=-0.5, duration_seconds=75)
    finished_run(policy, avg_reward=-0.1)
    finished_run(policy, status="failed", error="no")
    html = page(RUNS)
    assert html.count('<figure class="chart"') == len(CHARTS)
    assert "The last 3 finished runs" in html
    assert f"{run.run_id} succeeded 2 1 min 15 s 0.25 -0.5" in words(html)
    assert 'href="/policies/rl_v3/runs/" aria-current="page"' in html


def test_policy_without_runs_shows_a_message(page, policy):
    assert "No run has finished yet." in words(page(RUNS))


def test_repeated_fetch_returns_the_list_without_the_charts(page, client, policy):
    finished_run(policy)
    page(RUNS)
    again = client.get(RUNS, headers={"HX-Request": "true"}).content.decode()
    assert 'id="runs"' in again
    assert 'id="charts"' not in again


def test_runs_of_unknown_policy_are_not_found(client, viewer):
    client.force_login(viewer)
    assert client.get(RUNS.replace("rl_v3", "other")).status_code == 404
