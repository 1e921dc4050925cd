import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.charts.policies import RUNS, charts_of
from dashboard.charts.runs import EPISODES
from rl_training.models import PolicyVersion, TrainingRun
from tests.dashboard.charts.charted_rows import EVALUATION, START, store
from tests.stored import finished_run

KEYS = ["rewards", "episodes", "distribution", "durations", "episode-durations", "speed"]
VERSION_KEYS = ["equity", "drawdown"]


@pytest.fixture
def viewer(client, django_user_model):
    """A client signed in as a user who may view runs and versions."""
    user = django_user_model.objects.create_user("quant")
    names = ["view_trainingrun", "view_policyversion"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names, content_type__app_label="rl_training"))
    client.force_login(user)
    return client


def chart(client, key, policy="rl_v3"):
    return client.get(f"/charts/{policy}/{key}.json")


@pytest.mark.django_db
@pytest.mark.parametrize("key", KEYS)
def test_each_chart_has_as_many_values_as_places(viewer, policy, key):
    store(policy, 3, avg_reward=0.1234567, episode_rewards=[0.1, 0.2], duration_seconds=5.0, environment_steps=100)
    answer = chart(viewer, key)
    assert answer.status_code == 200
    data = answer.json()
    assert len({len(column) for column in data["data"]}) == 1
    assert len(data["data"]) == 1 + len(data["series"])


@pytest.mark.django_db
def test_chart_shows_only_the_newest_runs(viewer, policy):
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
def test_charts_make_a_fixed_number_of_queries(policy):
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
def test_version_has_its_charts(viewer, policy, key):
    PolicyVersion.objects.create(
        policy=policy, number=1, run=finished_run(policy), artifact="a", sha256="b", evaluation=EVALUATION
    )
    assert chart(viewer, f"versions/1/{key}").json()["data"][0] == [1514851200.0, 1514937600.0, 1515024000.0]
    assert chart(viewer, f"versions/2/{key}").status_code == 404
    assert chart(viewer, "versions/1/speed").status_code == 404
    assert chart(viewer, f"versions/{10**30}/{key}").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url", ["/charts/rl_v3/other.json", "/charts/nobody/speed.json", "/charts/rl_v3%00/speed.json"]
)
def test_unknown_chart_is_not_found(viewer, policy, url):
    assert viewer.get(url).status_code == 404


@pytest.mark.django_db
def test_charts_require_the_permission_to_view(client, policy, django_user_model):
    urls = ["/charts/rl_v3/speed.json", "/charts/rl_v3/versions/1/equity.json"]
    assert [client.get(url).status_code for url in urls] == [302, 302]
    client.force_login(django_user_model.objects.create_user("nobody"))
    assert [client.get(url).status_code for url in urls] == [403, 403]


@pytest.mark.django_db
def test_post_is_not_allowed(viewer, policy):
    assert viewer.post("/charts/rl_v3/speed.json").status_code == 405


@pytest.mark.django_db
def test_value_without_a_json_form_is_null(viewer, policy):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite stores no NaN")
    store(policy, 1, avg_reward=float("nan"), duration_seconds=float("inf"))
    for key in KEYS:
        json.loads(chart(viewer, key).content, parse_constant=pytest.fail)
