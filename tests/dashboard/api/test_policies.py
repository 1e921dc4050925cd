import pytest

from rl_training.core.config import PPOConfig
from rl_training.models import PolicyStore
from tests.api_clients import JSON, POLICY, client_of, patch, problem
from tests.stored import finished_run, store_raw, version_to_continue, walked_forward

pytestmark = pytest.mark.django_db
POLICIES = "/api/v1/policies/"


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


def test_answer_to_a_change_says_that_learned_weights_are_discarded(policy, operator):
    assert operator.get(POLICY).json()["next_start"] is None
    version_to_continue(policy)
    assert operator.get(POLICY).json()["next_start"] == "The next run continues from version 3."
    assert patch(operator, {"environment": {"features": ["macd"]}}).json()["next_start"] == (
        "The next run starts from scratch and does not use the weights of version 3: features changed."
    )


def test_answer_to_a_change_says_that_a_validation_expires(policy, operator):
    validation = walked_forward(policy)
    assert patch(operator, {"interval_minutes": 5}).json()["expiry"] is None
    assert patch(operator, {"ppo": {"gamma": 0.5}}).json()["expiry"] == (
        f"Validation {validation} expires: it is for the present recipe only. No new version goes live by itself "
        "until the new recipe is validated, which is a trial."
    )


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


@pytest.fixture
def admin(policy):
    return client_of("admin")


def create(client, **body):
    return client.post(POLICIES, body, content_type=JSON)


def test_created_policy_has_given_settings_and_defaults(admin):
    response = create(admin, name="btc", interval_minutes=5, ppo={"gamma": 0.5})
    assert (response.status_code, response.headers["Location"]) == (201, f"http://testserver{POLICIES}btc/")
    assert response.json() == admin.get(f"{POLICIES}btc/").json()
    assert response.headers["ETag"] == admin.get(f"{POLICIES}btc/").headers["ETag"]
    created = PolicyStore.objects.get(name="btc")
    assert (created.enabled, created.interval_minutes, created.ppo) == (True, 5, PPOConfig(gamma=0.5))
    assert created.history.get().history_user.username == "admin"


def test_copy_is_disabled_unless_enabled_is_given(admin, policy):
    policy.interval_minutes, policy.ppo = 7, PPOConfig(gamma=0.5)
    policy.save_settings()
    copy = create(admin, name="copy", like="rl_v3", ppo={"epochs": 9}).json()
    assert (copy["interval_minutes"], copy["ppo"]["gamma"], copy["ppo"]["epochs"]) == (7, 0.5, 9)
    assert (copy["enabled"], copy["next_run_at"]) == (False, None)
    assert create(admin, name="second", like="rl_v3", enabled=True).json()["enabled"] is True


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"name": "rl_v3"}, ["name"]),
        ({"name": "a\0b"}, ["name"]),
        ({"name": "x" * 51}, ["name"]),
        ({"name": "B", "ppo": {"gamma": 2}, "interval_minutes": 0}, ["interval_minutes", "ppo.gamma", "name"]),
        ({"name": "b", "like": "none"}, ["like"]),
        ({"name": "b", "like": 5}, ["like"]),
        ({"name": "b", "like": ""}, ["like"]),
        ({"name": "b", "total_runs": 5}, ["total_runs"]),
        ({"name": "b", "market": {"source": "file"}}, ["market.path"]),
    ],
)
def test_refused_settings_are_named_and_nothing_is_created(admin, body, fields):
    found = problem(create(admin, **body), 400)
    assert [error["field"] for error in found["errors"]] == fields
    assert PolicyStore.objects.count() == 1


def test_copy_of_invalid_settings_is_refused_unless_repaired(admin, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    found = problem(create(admin, name="copy", like="rl_v3"), 400)
    assert [error["field"] for error in found["errors"]] == ["ppo.gamma"]
    assert create(admin, name="copy", like="rl_v3", ppo={"gamma": 0.9}).status_code == 201


def test_creation_needs_the_permission_to_add_policies(policy):
    assert problem(create(client_of("operator"), name="btc"), 403)
    assert PolicyStore.objects.count() == 1


def test_disabled_policy_has_no_next_run(admin, policy):
    assert admin.get(f"{POLICIES}rl_v3/").json()["next_run_at"] is not None
    PolicyStore.objects.update(enabled=False)
    assert admin.get(f"{POLICIES}rl_v3/").json()["next_run_at"] is None
    assert admin.get(POLICIES).json()["results"][0]["next_run_at"] is None
