from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.models import IdempotencyKey, PolicyVersion, TrainingRun
from rl_training.runs import lifecycle
from tests.active_runs import claimed_run
from tests.api_clients import JSON, RUNS, problem, trigger, user_of
from tests.stored import finished_run, store_raw

pytestmark = pytest.mark.django_db


def cancel(client, run_id):
    return client.post(f"{RUNS}{run_id}/cancel/", content_type=JSON)


def test_run_is_triggered_with_the_settings_of_the_policy(operator):
    response = trigger(operator)
    run = TrainingRun.objects.get()
    assert response.status_code == 201
    assert response.headers["Location"] == f"http://testserver{RUNS}{run.run_id}/"
    assert (run.status, run.trigger, run.episodes, run.initial_version) == ("queued", "api", 2, None)
    found = response.json()
    assert (found["run_id"], found["policy"], found["config"]["episodes"]) == (run.run_id, "rl_v3", 2)
    assert operator.get(response.headers["Location"]).json() == found
    assert run.triggered_by == user_of("operator")
    assert (found["triggered_by"], found["version"]) == ("operator", None)


def test_list_names_the_user_and_the_version_of_each_run(policy, operator):
    first = finished_run(policy, triggered_by=user_of("viewer"))
    PolicyVersion.objects.create(policy=policy, number=4, run=first, evaluation={})
    finished_run(policy)
    found = operator.get(f"{RUNS}?ordering=queued_at").json()["results"]
    assert [(run["triggered_by"], run["version"]) for run in found] == [("viewer", 4), (None, None)]


def test_run_outlives_the_user_who_triggered_it(policy, operator):
    user = user_of("viewer")
    run = finished_run(policy, triggered_by=user)
    user.delete()
    assert operator.get(f"{RUNS}{run.run_id}/").json()["triggered_by"] is None


def test_run_is_triggered_with_the_settings_of_the_request(policy, operator):
    version = PolicyVersion.objects.create(policy=policy, number=1, run=finished_run(policy), evaluation={})
    PolicyVersion.objects.create(policy=policy, number=2, run=finished_run(policy), evaluation={})
    found = trigger(operator, episodes=7, seed=3, initial_version=1).json()
    assert (found["episodes"], found["config"]["seed"], found["initial_version"]) == (7, 3, 1)
    assert TrainingRun.objects.active().get().initial_version == version


def test_second_run_is_refused_with_the_id_of_the_active_run(operator):
    run_id = trigger(operator).json()["run_id"]
    found = problem(trigger(operator), 409)
    assert (found["type"], found["run_id"]) == ("urn:quantum-trader:problem:run-already-active", run_id)
    assert TrainingRun.objects.count() == 1


def test_run_names_the_version_that_it_really_started_from(policy, operator):
    made = finished_run(policy)
    version = PolicyVersion.objects.create(policy=policy, number=1, run=made, artifact="rl_v3/a-1", evaluation={})
    run = finished_run(policy, initial_version=version, start_note="version 1 cannot be continued: features differ")
    found = operator.get(f"{RUNS}{run.run_id}/").json()
    assert (found["initial_version"], found["started_from"]) == (1, None)
    assert found["start_note"] == "version 1 cannot be continued: features differ"
    TrainingRun.objects.filter(pk=run.pk).update(started_from=version, start_note="")
    listed = {row["run_id"]: row for row in operator.get(RUNS).json()["results"]}
    assert (listed[run.run_id]["started_from"], listed[run.run_id]["start_note"]) == (1, "")
    assert operator.get("/api/v1/policies/rl_v3/versions/1/").json()["artifact"] == "rl_v3/a-1"


def test_cancelled_run_with_a_dead_worker_says_how_it_ends(policy, operator):
    run = claimed_run(policy)
    assert operator.get(f"{RUNS}{run.run_id}/").json()["cancellation"] is None
    assert cancel(operator, run.run_id).json()["cancellation"] == "The run ends after its present iteration."
    TrainingRun.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=20))
    assert operator.get(f"{RUNS}{run.run_id}/").json()["cancellation"] == (
        "The run ends when its worker counts as lost, within 15 s: no heartbeat for 20 s."
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"policy": "other"}, "policy"),
        ({"policy": "rl_v3\0"}, "policy"),
        ({"policy": ""}, "policy"),
        ({"policy": None}, "policy"),
        ({"policy": 5}, "policy"),
        ({"policy": "x" * 5000}, "policy"),
        ({"episodes": 0}, "episodes"),
        ({"episodes": 10**9}, "episodes"),
        ({"episodes": "2"}, "episodes"),
        ({"episodes": True}, "episodes"),
        ({"episodes": 2.5}, "episodes"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"initial_version": 5}, "initial_version"),
        ({"initial_version": 2**31}, "initial_version"),
        ({"initial_version": 1, "from_scratch": True}, "from_scratch"),
        ({"from_scratch": 1}, "from_scratch"),
        ({"config": {}}, "config"),
    ],
)
def test_invalid_request_names_the_field_and_starts_no_run(operator, body, field):
    found = problem(trigger(operator, key="k", **body), 400)
    assert [error["field"] for error in found["errors"]] == [field]
    assert not TrainingRun.objects.exists()
    assert not IdempotencyKey.objects.exists()


def test_policy_with_invalid_settings_starts_no_run(policy, operator):
    store_raw(policy, "ppo", {"gamma": 7})
    assert problem(trigger(operator), 409)["type"] == "urn:quantum-trader:problem:invalid-settings"
    assert not TrainingRun.objects.exists()


def test_queued_run_is_cancelled_at_once(operator):
    run_id = trigger(operator).json()["run_id"]
    assert cancel(operator, run_id).json()["status"] == "cancelled"
    assert cancel(operator, run_id).json()["status"] == "cancelled"


def test_running_run_is_requested_to_end(operator):
    run = lifecycle.claim(trigger(operator).json()["run_id"])
    assert run is not None
    found = cancel(operator, run.run_id).json()
    assert (found["status"], found["cancel_requested_at"] is None) == ("running", False)
    assert cancel(operator, run.run_id).json() == found


def test_finished_run_cannot_be_cancelled(policy, operator):
    run = finished_run(policy)
    found = problem(cancel(operator, run.run_id), 409)
    assert (found["type"], found["detail"]) == (
        "urn:quantum-trader:problem:run-has-ended",
        f"Run {run.run_id} has ended: succeeded.",
    )


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [("no JSON", JSON, 400), ('{"force": true}', JSON, 400), ("[]", JSON, 400), ("a=1", "text/plain", 415)],
)
def test_cancellation_with_a_body_is_refused(operator, body, kind, status):
    run_id = trigger(operator).json()["run_id"]
    problem(operator.post(f"{RUNS}{run_id}/cancel/", body, content_type=kind), status)
    assert TrainingRun.objects.get().status == "queued"


@pytest.mark.parametrize("run_id", ["000000000000", "x" * 5000, "%00", "..%2f", "%F0%9F%90%8D"])
def test_unknown_run_is_not_found(operator, run_id):
    problem(operator.get(f"{RUNS}{run_id}/"), 404)
    problem(cancel(operator, run_id), 404)


def test_nan_and_infinity_are_shown_as_null(policy, operator):
    run = finished_run(policy, avg_reward=float("nan"), final_reward=float("inf"))
    found = operator.get(f"{RUNS}{run.run_id}/").json()
    assert (found["avg_reward"], found["final_reward"]) == (None, None)
