from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.charts.curves import METRICS, charts_of
from rl_training.core.run.curves import METRICS as STORED_METRICS
from rl_training.core.run.curves import RunCurves
from rl_training.models import TrainingRun
from tests.dashboard.pages.page_rows import active_run
from tests.stored import finished_run

ENDED = datetime(2026, 1, 1, tzinfo=UTC)
CURVE = {
    "episodes": {"x": [1, 2, 3], "reward": [0.5, None, 0.25], "width": 1},
    "iterations": {"x": [2, 4], "width": 2} | {name: [0.5, 0.125] for name in METRICS},
}
KEYS = ["episodes", *METRICS]


def run(curve, rewards=(), finished_at=ENDED):
    return TrainingRun(curve=curve, episode_rewards=list(rewards), finished_at=finished_at)


def test_run_has_a_chart_of_its_episodes_and_of_each_metric():
    found = charts_of(run(CURVE))
    assert list(found) == KEYS
    assert METRICS.keys() == STORED_METRICS.keys()
    assert found["episodes"].as_json()["data"] == [[1, 2, 3], [0.5, None, 0.25]]
    assert found["episodes"].summary.startswith("3 episodes. Newest 0.25, median 0.375, lowest 0.25, highest 0.5.")
    assert "on training bars" in found["episodes"].summary
    assert found["entropy"].as_json()["data"] == [[2, 4], [0.5, 0.125]]
    assert found["entropy"].summary.startswith("4 iterations. Each point is the mean of 2 iterations. Newest 0.125,")
    assert found["clip_fraction"].rows == [["4", "12.50 %"], ["2", "50.00 %"]]


def test_training_and_held_out_rewards_are_charted_side_by_side():
    measured = {"x": [3, 6], "training_reward": [0.5, 0.75], "held_out_reward": [0.25, None], "width": 1}
    chart = charts_of(run(CURVE | {"held_out": measured}))["held-out"].as_json()
    assert chart["data"] == [[3, 6], [0.5, 0.75], [0.25, None]]
    keys = [(one["label"], one["key"]) for one in chart["series"]]
    assert keys == [("Training", "training_reward"), ("Held-out", "held_out_reward")]
    assert chart["x"]["key"] == "iteration"
    assert chart["summary"].startswith("Training 0.75, held-out - after iteration 6.")


def test_run_that_measured_nothing_has_no_held_out_chart():
    empty: dict[str, list[float]] = {"x": [], "training_reward": [], "held_out_reward": []}
    for measured in (empty, "text"):
        assert list(charts_of(run(CURVE | {"held_out": measured}))) == KEYS


def test_keys_of_progress_events_are_those_of_the_series():
    data = {key: chart.as_json() for key, chart in charts_of(run(CURVE)).items()}
    assert (data["episodes"]["x"]["key"], data["episodes"]["series"][0]["key"]) == ("episode", "reward")
    assert all(data[name]["x"]["key"] == "iteration" for name in METRICS)
    assert [data[name]["series"][0]["key"] for name in METRICS] == list(METRICS)


def test_empty_curve_of_training_is_shown_as_empty_charts():
    for curve in (RunCurves().as_dict(), None):
        found = charts_of(run(curve, finished_at=None))
        assert list(found) == ["held-out", *KEYS]
        assert found.pop("held-out").summary.startswith("Nothing is measured yet.")
        assert all("nothing to show yet" in chart.summary for chart in found.values())


def test_run_of_an_older_release_shows_its_episode_rewards():
    assert charts_of(run(None)) == {}
    found = charts_of(run(None, [0.5, 0.75]))
    assert list(found) == ["episodes"]
    assert found["episodes"].as_json()["data"] == [[1, 2], [0.5, 0.75]]
    assert found["episodes"].summary.startswith("2 episodes of 1 run.")


@pytest.mark.parametrize(
    "curve",
    [
        [],
        "text",
        {"episodes": 3, "iterations": None},
        {"episodes": {"x": "123"}},
        {"episodes": {"x": [1, "2"], "reward": [1, 2]}},
        {"episodes": {"x": [1, 2], "reward": [1]}, "iterations": {"x": [1], "entropy": ["<b>"], "width": "x"}},
        {"episodes": {"x": [1e400, 2], "reward": [1, 2]}},
    ],
)
def test_unreadable_curve_is_shown_as_missing(curve):
    for chart in charts_of(run(curve)).values():
        data = chart.as_json()["data"]
        assert len(data[0]) == len(data[1])
        assert set(data[1]) <= {None}


@pytest.mark.django_db
def test_each_chart_of_a_run_has_its_data_at_its_url(client, policy, admin_user):
    client.force_login(admin_user)
    stored = finished_run(policy, curve=CURVE)
    for key in KEYS:
        assert client.get(f"/runs/{stored.run_id}/charts/{key}.json").json()["data"][1][-1] is not None
    assert client.get(f"/runs/{stored.run_id}/charts/other.json").status_code == 404
    assert client.get("/runs/0123456789ab/charts/entropy.json").status_code == 404


@pytest.mark.django_db
def test_page_of_a_run_has_its_charts_with_tables(client, policy, admin_user):
    client.force_login(admin_user)
    html = client.get(f"/runs/{finished_run(policy, curve=CURVE).run_id}/").content.decode()
    assert html.count("<figure") == len(KEYS)
    assert "0.375" in html
    assert "data-charts-of-run" not in html
    # An open page finds each table by its id when the run has ended.
    assert all(f'id="table-{key}">' in html for key in KEYS)


@pytest.mark.django_db
def test_page_of_an_active_run_says_which_charts_and_tables_are_live(client, policy, admin_user):
    client.force_login(admin_user)
    stored = active_run(policy)
    html = client.get(f"/runs/{stored.run_id}/").content.decode()
    assert f'data-charts-of-run="{stored.run_id}"' in html
    assert all(f'id="table-{key}" data-live' in html for key in KEYS)


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/", "/runs/", "/policies/rl_v3/", "/api/v1/runs/", "/admin/rl_training/trainingrun/"])
def test_lists_do_not_read_curves(client, policy, admin_user, url):
    client.force_login(admin_user)
    finished_run(policy, curve=CURVE)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    assert not [query for query in queries.captured_queries if '"curve"' in query["sql"]]
