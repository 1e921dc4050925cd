import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.charts import chart_data, evaluations
from dashboard.charts.chart_data import EPISODES, RUNS, TABLE_ROWS, bins, drawable
from dashboard.charts.chart_views import charts_of
from rl_training.models import PolicyVersion, TrainingRun
from tests.stored import finished_run

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ["rewards", "episodes", "distribution", "durations", "episode-durations", "speed"]
VERSION_KEYS = ["equity", "drawdown"]
EVALUATION = {
    "equity_curve": [1.0, 0.9, 1.25],
    "timestamps": ["2018-01-02T00:00:00Z", "2018-01-03T00:00:00Z", "2018-01-04T00:00:00Z"],
    "buy_and_hold": {"equity_curve": [1.0, 1.1, 0.55]},
    "flat": {"equity_curve": [1.0, 1.0, 1.0]},
}


def run(minute, status="succeeded", **columns):
    """A run's columns as charts read them."""
    return {
        "status": status,
        "finished_at": START + timedelta(minutes=minute),
        "avg_reward": 0.5,
        "duration_seconds": 10.0,
        "episodes_done": 4,
        "environment_steps": 5000,
    } | columns


def test_one_run_is_spoken_of_as_one():
    one = [run(0, episodes_done=1)]
    assert chart_data.episodes([[0.5]]).summary.startswith("1 episode of 1 successful run.")
    assert chart_data.episodes([[0.5], [0.5, 0.25]]).summary.startswith("3 episodes of the last 2 successful runs.")
    assert chart_data.distribution(one).summary.startswith("Average rewards of 1 successful run.")
    assert chart_data.durations(one).summary.startswith("Durations of 1 successful run, waiting")


def store(policy, number, **columns):
    """So many finished runs, a minute from one to the next."""
    columns = {"status": "succeeded", "trigger": "schedule", "episodes": 2, "episodes_done": 2, "config": {}} | columns
    runs = [TrainingRun(policy=policy, finished_at=START + timedelta(minutes=n), **columns) for n in range(number)]
    return TrainingRun.objects.bulk_create(runs)


@pytest.fixture
def viewer(client, django_user_model):
    """A client of a user who may look at runs and versions."""
    user = django_user_model.objects.create_user("quant")
    names = ["view_trainingrun", "view_policyversion"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names, content_type__app_label="rl_training"))
    client.force_login(user)
    return client


def chart(client, key, policy="rl_v3"):
    return client.get(f"/charts/{policy}/{key}.json")


def test_a_failed_run_has_no_reward_but_a_mark():
    data = chart_data.rewards([run(0, avg_reward=0.25), run(1, "failed", avg_reward=None)]).as_json()
    assert data["data"] == [[1767225600.0, 1767225660.0], [0.25, None], [None, 1.0]]
    assert [one["style"] for one in data["series"]] == ["points", "marks"]
    assert data["summary"] == (
        "The last 2 finished runs, 2026-01-01 00:00 to 2026-01-01 00:01 UTC, 1 of them failed. "
        "Newest 0.25, median 0.25, lowest 0.25, highest 0.25."
    )


def test_what_cannot_be_drawn_is_a_gap():
    values = [1, -2.5, None, True, "1", float("nan"), float("inf"), 1e300]
    assert [drawable(value) for value in values] == [True, True, False, False, False, False, False, False]
    assert chart_data.rewards([run(0, avg_reward=float("nan"))]).series[0].values == [None]


def test_durations_and_speed_are_those_of_successful_runs():
    runs = [run(0), run(1, "failed", duration_seconds=999.0), run(2, episodes_done=0, duration_seconds=0.0)]
    assert chart_data.episode_durations(runs).series[0].values == [2.5, None]
    assert chart_data.speed(runs).series[0].values == [500.0, None]
    assert chart_data.durations(runs).series[0].values == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_each_value_is_in_one_bin_of_a_round_width():
    data = chart_data.distribution([run(n, avg_reward=value) for n, value in enumerate([0.0, 0.1, 0.11, 1.2])])
    assert data.bin_width == 0.1
    assert data.series[0].values == [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert data.rows[1] == ["0.1 to 0.2", "2"]


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [-3.0, 3.0], [1e-12, 2e-12], [1e15, -1e15], [5.0, 5.0 + 1e-12]])
def test_bins_hold_all_values_and_are_few(values):
    width, edges = bins(values)
    assert edges[0] <= min(values) + 1e-9 * width
    assert max(values) <= edges[-1] + 1e-9 * width
    assert 1 <= len(edges) - 1 <= 26


def test_nothing_stored_is_nothing_drawn():
    for key in ("rewards", "distribution", "durations", "episode_durations", "speed"):
        data = getattr(chart_data, key)([])
        assert data.as_json()["data"][0] == []
        assert "nothing to show yet" in data.summary


def test_many_episodes_are_thinned_to_both_their_ends():
    data = chart_data.episodes([[float(n) for n in range(5000)]])
    assert (len(data.x), data.x[0], data.x[-1]) == (EPISODES, 1, 5000)
    assert f"{EPISODES:,} of them are shown, evenly spread" in data.summary


def test_a_long_table_shows_the_newest_first():
    data = chart_data.speed([run(n) for n in range(TABLE_ROWS + 1)])
    assert (len(data.rows), data.left_out) == (TABLE_ROWS, 1)
    assert data.columns == ["Finished (UTC)", "Steps per second"]
    assert data.rows[0] == ["2026-01-01 01:40:00", "500"]


def test_drawdown_is_what_is_lost_of_the_highest_equity_before():
    found = evaluations.charts(EVALUATION)
    assert list(found) == VERSION_KEYS
    assert [one.label for one in found["equity"].series] == ["Policy", "Buy and hold", "Flat"]
    assert [[round(value, 6) for value in one.values] for one in found["drawdown"].series] == [
        [0.0, -0.1, 0.0],
        [0.0, 0.0, -0.5],
    ]
    assert "At the end: policy 1.250, buy and hold 0.550, flat 1.000." in found["equity"].summary
    assert "policy -10.00 %, buy and hold -50.00 %" in found["drawdown"].summary


@pytest.mark.parametrize(
    "evaluation",
    [
        None,
        [],
        "text",
        {"equity_curve": [1.0, 2.0]},
        EVALUATION | {"timestamps": [1, 2, 3]},
        EVALUATION | {"timestamps": ["x", "y", "z"]},
        EVALUATION | {"equity_curve": [1.0, None, 2.0]},
        {"timestamps": EVALUATION["timestamps"], "buy_and_hold": EVALUATION["buy_and_hold"]},
    ],
)
def test_an_evaluation_without_the_policys_curve_has_no_charts(evaluation):
    assert evaluations.charts(evaluation) == {}


@pytest.mark.django_db
@pytest.mark.parametrize("key", KEYS)
def test_each_chart_of_a_policy_is_answered(viewer, policy, key):
    store(policy, 3, avg_reward=0.1234567, episode_rewards=[0.1, 0.2], duration_seconds=5.0, environment_steps=100)
    answer = chart(viewer, key)
    assert answer.status_code == 200
    data = answer.json()
    assert len({len(column) for column in data["data"]}) == 1
    assert len(data["data"]) == 1 + len(data["series"])


@pytest.mark.django_db
def test_the_newest_runs_are_shown_and_no_more(viewer, policy):
    store(policy, RUNS + 2)
    first, *_, last = chart(viewer, "rewards").json()["data"][0]
    assert (first, last) == (START.timestamp() + 120, START.timestamp() + 60 * (RUNS + 1))


@pytest.mark.django_db
def test_episodes_are_of_the_newest_runs_that_fit(viewer, policy):
    store(policy, 1, episodes_done=1, episode_rewards=[9.0])
    store(policy, 1, episodes_done=EPISODES, episode_rewards=[1.0] * EPISODES)
    TrainingRun.objects.filter(episodes_done=EPISODES).update(finished_at=START + timedelta(days=1))
    assert set(chart(viewer, "episodes").json()["data"][1]) == {1.0}
    TrainingRun.objects.filter(episodes_done=EPISODES).update(episodes_done=10**9)
    assert chart(viewer, "episodes").json()["data"] == [[], []]


@pytest.mark.django_db
def test_charts_take_a_fixed_number_of_queries(policy):
    def count():
        with CaptureQueriesContext(connection) as queries:
            charts_of("rl_v3")
        return len(queries)

    store(policy, 1)
    before = count()
    store(policy, 20)
    assert before == count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("key", VERSION_KEYS)
def test_the_charts_of_a_version(viewer, policy, key):
    PolicyVersion.objects.create(
        policy=policy, number=1, run=finished_run(policy), artifact="a", sha256="b", evaluation=EVALUATION
    )
    assert chart(viewer, f"versions/1/{key}").json()["data"][0] == [1514851200.0, 1514937600.0, 1515024000.0]
    assert chart(viewer, f"versions/2/{key}").status_code == 404
    assert chart(viewer, "versions/1/speed").status_code == 404
    assert chart(viewer, f"versions/{10**30}/{key}").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address", ["/charts/rl_v3/other.json", "/charts/nobody/speed.json", "/charts/rl_v3%00/speed.json"]
)
def test_an_unknown_chart_is_not_found(viewer, policy, address):
    assert viewer.get(address).status_code == 404


@pytest.mark.django_db
def test_charts_are_for_those_who_may_look(client, policy, django_user_model):
    addresses = ["/charts/rl_v3/speed.json", "/charts/rl_v3/versions/1/equity.json"]
    assert [client.get(address).status_code for address in addresses] == [302, 302]
    client.force_login(django_user_model.objects.create_user("nobody"))
    assert [client.get(address).status_code for address in addresses] == [403, 403]


@pytest.mark.django_db
def test_reading_is_all_that_can_be_done(viewer, policy):
    assert viewer.post("/charts/rl_v3/speed.json").status_code == 405


@pytest.mark.django_db
def test_a_figure_that_json_cannot_say_is_null(viewer, policy):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite stores no NaN")
    store(policy, 1, avg_reward=float("nan"), duration_seconds=float("inf"))
    for key in KEYS:
        json.loads(chart(viewer, key).content, parse_constant=pytest.fail)
