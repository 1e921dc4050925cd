import pytest

from rl_training.models import Trial
from rl_training.validation import steps
from tests.api_clients import client_of, problem
from tests.validations import SMALL, claim_next, request_validation

pytestmark = pytest.mark.django_db

VALIDATIONS = "/api/v1/validations/"
STANDING = "/api/v1/policies/rl_v3/validation"


def post(client, **body):
    return client.post(VALIDATIONS, {"policy": "rl_v3"} | body, content_type="application/json")


def test_requested_validation_is_a_queued_trial(operator):
    answer = post(operator, folds=4, window=2000)
    assert answer.status_code == 201
    found = operator.get(answer.headers["Location"]).json()
    assert (found["status"], found["trial"], found["folds"], found["window"]) == ("queued", 1, 4, 2000)
    assert (found["answer"], found["verdict"], found["requested_by"]) == (
        "The walk-forward waits for a worker.",
        "",
        "operator",
    )
    assert found["level"] == pytest.approx(0.0303964, rel=1e-5)


def test_recipe_is_not_walked_forward_twice_at_the_same_time(operator):
    first = post(operator).json()["validation_id"]
    answer = post(operator)
    assert (answer.status_code, answer.json()["validation_id"]) == (409, first)
    assert answer.json()["type"] == "urn:quantum-trader:problem:already-validating"
    assert Trial.objects.count() == 1


def test_changes_make_another_recipe_with_a_trial_of_its_own(operator):
    first = post(operator).json()
    second = post(operator, changes={"ppo.gamma": 0.9, "seeds": 1}).json()
    assert second["trial"] == 2
    assert second["recipe"] != first["recipe"]
    assert (second["config"]["ppo"]["gamma"], second["config"]["seeds"]) == (0.9, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"changes": {"ppo.gamma": 2}}, "changes.ppo.gamma"),
        ({"changes": {"nothing.gamma": 2}}, "changes.nothing.gamma"),
        ({"changes": {"ppo": 1, "ppo.gamma": 0.9}}, "changes.ppo.gamma"),
        ({"changes": {"seeds": 1, "training.seeds": 2}}, "changes.training.seeds"),
        ({"changes": {"colour": 2}}, "changes.colour"),
        ({"folds": 0}, "folds"),
        ({"policy": "none"}, "policy"),
    ],
)
def test_refused_request_names_the_field_and_is_no_trial(operator, body, field):
    answer = post(operator, **body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    assert Trial.objects.count() == 0


def test_cancelled_validation_stays_a_trial(operator):
    url = f"{VALIDATIONS}{post(operator).json()['validation_id']}/cancel/"
    assert operator.post(url, content_type="application/json").json()["status"] == "cancelled"
    assert operator.post(url, content_type="application/json").status_code == 200
    assert operator.get("/api/v1/trials/").json()["results"][0]["status"] == "cancelled"


def test_ended_validation_cannot_be_cancelled(operator, policy):
    validation = request_validation(policy)
    steps.fail(claim_next(validation), "no bars")
    answer = operator.post(f"{VALIDATIONS}{validation}/cancel/", content_type="application/json")
    assert (answer.status_code, answer.json()["detail"]) == (409, f"Validation {validation} has ended: failed.")


def test_standing_of_an_untried_recipe_shows_the_next_level(operator):
    found = operator.get(STANDING).json()
    assert (found["state"], found["validation_id"], found["estimated_seconds"]) == ("not tried", None, None)
    assert found["budget"]["trials"] == 0
    assert found["budget"]["next_level"] == pytest.approx(0.0303964, rel=1e-5)


def test_standing_shows_what_is_under_way_and_what_is_left(operator):
    started = post(operator).json()["validation_id"]
    found = operator.get(STANDING).json()
    assert (found["active"], found["budget"]["trials"], found["budget"]["recipes"]) == (started, 1, 1)
    assert found["budget"]["remaining"] == pytest.approx(0.05 - 0.0303964, rel=1e-4)


def test_lists_can_be_filtered(operator, policy):
    request_validation(policy, changes=SMALL)
    key = request_validation(policy).market_key
    assert len(operator.get(f"{VALIDATIONS}?policy=rl_v3&status=queued").json()["results"]) == 2
    assert len(operator.get(f"/api/v1/trials/?market_key={key}").json()["results"]) == 1


def test_viewer_reads_and_does_not_request(policy):
    viewer = client_of("viewer")
    assert post(viewer).status_code == 403
    assert viewer.get(VALIDATIONS).json()["results"] == []


def test_unknown_validation_is_not_found(operator):
    assert operator.get(f"{VALIDATIONS}0123/").status_code == 404


def test_window_without_effect_is_refused_at_its_field(policy):
    body = {"policy": "rl_v3", "window": 999_999}
    refused = client_of("operator").post("/api/v1/validations/", body, content_type="application/json")
    assert [error["field"] for error in problem(refused, 400)["errors"]] == ["window"]
