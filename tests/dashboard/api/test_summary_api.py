import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.authentication import TokenAuthentication
from rl_training.accounts.models import ApiToken
from rl_training.models import PolicyStore, TrainingRun
from tests.api_clients import token_of
from tests.query_plans import finished_run, steps_of_plan, store_100_000_runs

pytestmark = pytest.mark.django_db
URL = "/api/v1/rl-v3/dashboard/training-summary"


@pytest.fixture
def user():
    return User.objects.create_user("quant")


@pytest.fixture
def get(client, user):
    headers = {"Authorization": f"Token {token_of(user)}"}
    return lambda **query: client.get(URL, query, headers=headers)


def test_policy_without_runs_has_an_empty_summary(policy, get):
    assert get().json() == {
        "enabled": True,
        "interval_minutes": 60,
        "episodes_per_run": 2,
        "total_runs": 0,
        "success_rate": 0.0,
        "last_run_at": None,
        "last_error": None,
        "recent_runs": [],
    }


def test_summary_counts_and_lists_finished_runs(policy, get):
    succeeded = finished_run(
        policy, duration_seconds=4.5, avg_reward=0.25, final_reward=0.5, avg_policy_loss=-0.01, avg_value_loss=0.3
    )
    failed = finished_run(policy, 1, status="failed", duration_seconds=1.0, error="no file x.csv")
    TrainingRun.objects.bulk_create([succeeded, failed])
    PolicyStore.objects.filter(pk=policy.pk).update(total_runs=4, succeeded_runs=3)
    summary = get().json()
    assert summary["total_runs"] == 4
    assert summary["success_rate"] == 0.75
    assert summary["last_run_at"] == "2025-01-31T12:01:00Z"
    assert summary["last_error"] == "no file x.csv"
    assert summary["recent_runs"] == [
        {
            "timestamp": "2025-01-31T12:01:00Z",
            "run_id": failed.run_id,
            "episodes": 2,
            "duration_seconds": 1.0,
            "success": False,
            "avg_reward": None,
            "final_reward": None,
            "avg_policy_loss": None,
            "avg_value_loss": None,
            "error": "no file x.csv",
        },
        {
            "timestamp": "2025-01-31T12:00:00Z",
            "run_id": succeeded.run_id,
            "episodes": 2,
            "duration_seconds": 4.5,
            "success": True,
            "avg_reward": 0.25,
            "final_reward": 0.5,
            "avg_policy_loss": -0.01,
            "avg_value_loss": 0.3,
            "error": None,
        },
    ]


def test_last_error_is_null_once_a_run_succeeds(policy, get):
    failed = finished_run(policy, 0, status="failed", error="no file")
    TrainingRun.objects.bulk_create([failed, finished_run(policy, 1)])
    assert get().json()["last_error"] is None


def test_ten_newest_finished_runs_of_the_policy_are_listed(policy, get):
    other = PolicyStore.objects.create(name="other")
    TrainingRun.objects.bulk_create(
        [
            *(finished_run(policy, minutes) for minutes in range(12)),
            finished_run(policy, 20, status="cancelled"),
            finished_run(policy, 21, status="running", finished_at=None),
            finished_run(other, 22),
        ]
    )
    times = [run["timestamp"] for run in get().json()["recent_runs"]]
    assert times == [f"2025-01-31T12:{minute:02}:00Z" for minute in range(11, 1, -1)]
    assert len(get(policy="other").json()["recent_runs"]) == 1


def test_nan_is_shown_as_null(policy, get):
    finished_run(policy, avg_reward=float("nan")).save()
    assert get().json()["recent_runs"][0]["avg_reward"] is None


def test_policy_with_invalid_settings_has_a_summary(policy, get):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rl_training_policystore SET ppo = %s", ['{"gamma": 7}'])
    assert get().status_code == 200


def test_credentials_are_required(policy, client):
    response = client.get(URL)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Token"
    assert client.get(URL, headers={"Authorization": "Token wrong"}).status_code == 401


@pytest.mark.parametrize("token", ["\N{REPLACEMENT CHARACTER}", "", "two words", "%s"])
def test_malformed_token_is_refused(policy, client, user, token):
    assert client.get(URL, headers={"Authorization": f"Token {token}".encode().decode("latin-1")}).status_code == 401


def test_revoked_token_and_token_of_inactive_user_are_refused_at_once(policy, get, user):
    assert get().status_code == 200
    User.objects.update(is_active=False)
    assert get().json()["detail"] == "User inactive or deleted."
    User.objects.update(is_active=True)
    assert get().status_code == 200
    ApiToken.objects.all().delete()
    assert get().json()["detail"] == "Invalid token."


def test_token_and_its_user_are_read_with_one_query(user, django_assert_num_queries):
    key = token_of(user)
    with django_assert_num_queries(1):
        found, token = TokenAuthentication().authenticate_credentials(key)
        assert (found, found.password, token.hint, token.user) == (user, user.password, key[:8], user)


def test_session_is_accepted(policy, client, user):
    client.force_login(user)
    assert client.get(URL).status_code == 200


@pytest.mark.parametrize("name", ["other", "", "RL_V3", "rl_v3\0", "a" * 5000, "../etc", "☃"])
def test_unknown_policy_is_not_found(policy, get, name):
    response = get(policy=name)
    assert response.status_code == 404
    assert response.json()["detail"].endswith("Known policies: rl_v3.")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_other_methods_are_refused_with_and_without_credentials(policy, client, user, method):
    assert getattr(client, method)(URL).status_code == 405
    client.force_login(user)
    response = getattr(client, method)(URL)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


def test_summary_of_100_000_runs_is_read_from_an_index(policy, get):
    store_100_000_runs(policy)
    with CaptureQueriesContext(connection) as queries:
        assert len(get().json()["recent_runs"]) == 10
    assert len(queries) <= 4
    steps = [step for query in queries.captured_queries for step in steps_of_plan(query["sql"])]
    of_runs = [step for step in steps if "rl_training_trainingrun" in step]
    assert of_runs
    assert not [step for step in of_runs if step.upper().startswith(("SEQ SCAN", "SCAN"))]
    assert all("run_finished" in step for step in of_runs)


def test_run_that_finishes_between_two_queries_is_counted_and_listed(policy, get):
    finished: list[TrainingRun] = []

    def finish_once(execute, sql, parameters, many, context):
        result = execute(sql, parameters, many, context)
        if sql.startswith("SELECT") and "succeeded_runs" in sql and not finished:
            finished.append(finished_run(policy))
            TrainingRun.objects.bulk_create(finished)
            PolicyStore.objects.filter(pk=policy.pk).update(total_runs=1, succeeded_runs=1)
        return result

    with connection.execute_wrapper(finish_once):
        summary = get().json()
    assert (summary["total_runs"], len(summary["recent_runs"])) == (1, 1)
