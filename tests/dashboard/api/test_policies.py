import pytest

from rl_training.models import PolicyStore
from tests.api_clients import POLICY, patch, problem
from tests.stored import finished_run, store_raw

pytestmark = pytest.mark.django_db


def test_policy_is_read_with_its_settings_and_its_state(policy, operator):
    finished_run(policy, status="failed", error="no bars")
    found = operator.get(POLICY).json()
    assert (found["name"], found["interval_minutes"], found["ppo"]["gamma"]) == ("rl_v3", 60, 0.99)
    assert (found["last_status"], found["last_error"], found["active_status"]) == ("failed", "no bars", None)


def test_list_of_policies_omits_the_typed_settings(policy, operator):
    PolicyStore.objects.create(name="a", enabled=False)
    found = operator.get("/api/v1/policies/").json()
    assert [policy["name"] for policy in found["results"]] == ["a", "rl_v3"]
    assert not found["results"][0].keys() & {"market", "environment", "ppo"}
    found = operator.get("/api/v1/policies/", {"enabled": "false"}).json()
    assert [policy["name"] for policy in found["results"]] == ["a"]


def test_change_affects_only_the_settings_that_it_names(policy, operator):
    response = patch(operator, {"interval_minutes": 5, "ppo": {"gamma": 0.5}})
    assert response.status_code == 200
    assert (response.json()["interval_minutes"], response.json()["ppo"]["gamma"]) == (5, 0.5)
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.ppo.gamma, policy.ppo.epochs, policy.enabled) == (5, 0.5, 4, True)
    assert policy.history.latest().history_user.username == "operator"


def test_etag_depends_on_the_settings_and_not_on_the_state(policy, operator):
    before = operator.get(POLICY).headers["ETag"]
    PolicyStore.objects.update(total_runs=7)
    finished_run(policy)
    assert operator.get(POLICY).headers["ETag"] == before
    changed = patch(operator, {"enabled": False}, before)
    assert changed.headers["ETag"] != before
    assert changed.headers["ETag"] == operator.get(POLICY).headers["ETag"]


def test_change_with_an_outdated_etag_is_refused(policy, operator):
    tag = operator.get(POLICY).headers["ETag"]
    store_raw(policy, "ppo", {"gamma": 0.3})
    response = patch(operator, {"enabled": False}, tag)
    assert problem(response, 412)["type"] == "urn:quantum-trader:problem:settings-changed"
    assert PolicyStore.objects.get().enabled
    assert patch(operator, {"enabled": False}, response.headers["ETag"]).status_code == 200


@pytest.mark.parametrize("tag", ["", '"', 'W/"x"', "x" * 5000, "\\", '"0123456789abcdef0123456789abcdef"'])
def test_change_with_a_malformed_etag_is_refused(policy, operator, tag):
    problem(patch(operator, {"enabled": False}, tag), 412)
    assert PolicyStore.objects.get().enabled


def test_change_without_if_match_is_refused(policy, operator):
    response = operator.patch(POLICY, {"enabled": False}, content_type="application/json")
    assert "If-Match" in problem(response, 428)["detail"]
    assert PolicyStore.objects.get().enabled


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"interval_minutes": 0}, "interval_minutes"),
        ({"interval_minutes": 2**63}, "interval_minutes"),
        ({"interval_minutes": True}, "interval_minutes"),
        ({"interval_minutes": "5"}, "interval_minutes"),
        ({"interval_minutes": None}, "interval_minutes"),
        ({"interval_minutes": 5.0}, "interval_minutes"),
        ({"enabled": 1}, "enabled"),
        ({"enabled": None}, "enabled"),
        ({"ppo": {"gamma": 2}}, "ppo.gamma"),
        ({"ppo": {"gamma": None}}, "ppo.gamma"),
        ({"ppo": {"minibatch_size": 9_000_000}}, "ppo.minibatch_size"),
        ({"ppo": {"hidden_sizes": [1_000_000]}}, "ppo.hidden_sizes.0"),
        ({"ppo": {"gama": 0.5}}, "ppo.gama"),
        ({"ppo": 5}, "ppo"),
        ({"ppo": None}, "ppo"),
        ({"market": {"path": "a\0b"}}, "market.path"),
        ({"name": "other"}, "name"),
        ({"next_run_at": "2026-01-01T00:00:00Z"}, "next_run_at"),
        ({"": 1}, ""),
    ],
)
def test_invalid_setting_is_named_and_nothing_is_changed(policy, operator, change, field):
    before = operator.get(POLICY).headers["ETag"]
    found = problem(patch(operator, {"episodes_per_run": 9} | change), 400)
    assert [error["field"] for error in found["errors"]] == [field]
    assert operator.get(POLICY).headers["ETag"] == before
    assert policy.history.count() == 1


def test_all_invalid_settings_are_named_at_once(policy, operator):
    found = problem(patch(operator, {"interval_minutes": 0, "ppo": {"gamma": 2}}), 400)
    assert {error["field"] for error in found["errors"]} == {"interval_minutes", "ppo.gamma"}


def test_change_to_the_stored_values_writes_nothing(policy, operator):
    assert patch(operator, {"enabled": True, "ppo": {"gamma": 0.99}}).status_code == 200
    assert patch(operator, {}).status_code == 200
    assert policy.history.count() == 1


def test_invalid_stored_settings_are_shown_and_can_be_repaired(policy, operator):
    store_raw(policy, "ppo", {"gamma": 7})
    assert operator.get(POLICY).json()["ppo"] == {"gamma": 7}
    assert operator.get("/api/v1/policies/").status_code == 200
    found = problem(patch(operator, {"interval_minutes": 5}), 400)
    assert [error["field"] for error in found["errors"]] == ["ppo.gamma"]
    assert patch(operator, {"ppo": {"gamma": 0.9}}).json()["ppo"]["gamma"] == 0.9


@pytest.mark.parametrize("name", ["other", "x" * 5000, "%00", "%F0%9F%90%8D", "..%2f", "rl_v3%00", "%ED%A0%80"])
def test_unknown_policy_is_not_found(policy, operator, name):
    problem(operator.get(f"/api/v1/policies/{name}/"), 404)
    problem(patch(operator, {"enabled": False}, path=f"/api/v1/policies/{name}/"), 404)
    problem(operator.get(f"/api/v1/policies/{name}/versions/"), 404)


def test_policy_with_markup_in_its_name_is_found(operator):
    name = '<img src=x onerror="alert(1)">'
    PolicyStore.objects.bulk_create([PolicyStore(name=name)])
    assert operator.get("/api/v1/policies/%3Cimg%20src=x%20onerror=%22alert(1)%22%3E/").json()["name"] == name
