import pytest

from rl_training.core.config import PPOConfig
from rl_training.models import PolicyStore
from tests.api_clients import JSON, client_of, problem
from tests.stored import store_raw

pytestmark = pytest.mark.django_db
POLICIES = "/api/v1/policies/"


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
