"""Features that are further columns of a market's file are checked when settings are saved, however they are saved."""

import json

import pytest

from rl_training import keys
from rl_training.core.config import EnvironmentConfig
from rl_training.core.run.recipe import recipe_digest
from rl_training.models import PolicyStore
from tests.admin.policy_pages import edit, errors
from tests.api_clients import client_of, patch, problem
from tests.own_columns import market_file

pytestmark = pytest.mark.django_db
MARKET = {"source": "file", "path": "m.csv"}
THERE = "columns that can be features: column:funding, column:signal"
GONE = f"m.csv: column:gone can be no feature: no column is named 'gone'; {THERE}"
NO_FILE = "column:funding can be no feature: only a file has further columns, and the source is planted"


@pytest.fixture
def root(tmp_path, settings):
    settings.MARKET_DATA_ROOT = tmp_path
    market_file(tmp_path / "m.csv", bars=30)
    return tmp_path


def features(*names):
    return {"episode_length": 8, "features": ["range", *(f"column:{name}" for name in names)]}


@pytest.fixture
def saved(policy, root):
    """A policy that observes the column `funding`."""
    assert patch(client_of("admin"), {"market": MARKET, "environment": features("funding")}).status_code == 200
    policy.refresh_from_db()
    assert policy.environment.own_columns == ("funding",)
    return policy


def test_command_refuses_column_that_the_file_does_not_have(saved):
    with pytest.raises(keys.SettingError) as refused:
        keys.set_values({"rl_v3.environment.features": json.dumps(["range", "column:gone"])})
    assert str(refused.value) == f"rl_v3.environment.features: {GONE}"
    keys.set_values({"rl_v3.environment.features": json.dumps(["column:signal"])})
    assert keys.get("rl_v3.environment.features") == ["column:signal"]


def test_api_refuses_columns_of_another_source(saved):
    expected = [{"field": "environment.features", "detail": NO_FILE}]
    assert problem(patch(client_of("admin"), {"market": {"source": "planted"}}), 400)["errors"] == expected
    body = {"name": "copy", "like": "rl_v3", "environment": features("gone")}
    created = client_of("admin").post("/api/v1/policies/", body, content_type="application/json")
    assert problem(created, 400)["errors"] == [{"field": "environment.features", "detail": GONE}]
    both = {"market": {"source": "planted"}, "environment": features()}
    assert patch(client_of("admin"), both).status_code == 200


def test_form_offers_columns_and_refuses_others_beside_the_features(admin_client, saved):
    response = edit(admin_client, saved, environment=features("gone"))
    assert errors(response) == {"environment": [f"features: {GONE}"]}
    widget = response.context["adminform"].form.fields["environment"].widget
    assert widget.error_map == {"features": [GONE]}
    assert widget.schema["properties"]["features"]["items"]["enum"][-3:] == [
        "column:funding",
        "column:signal",
        "column:gone",
    ]
    assert edit(admin_client, saved, environment=features("signal")).status_code == 302
    other = admin_client.get("/admin/rl_training/policystore/add/").context["adminform"].form.fields["environment"]
    assert "column:signal" not in json.dumps(other.widget.schema)


def test_policy_whose_file_has_gone_stays_editable(saved, root):
    (root / "m.csv").unlink()
    assert patch(client_of("admin"), {"market": {"train_fraction": 0.6}, "ppo": {"gamma": 0.5}}).status_code == 200


@pytest.mark.parametrize("name", ["rsi", "column:", "column: x", "column:a\nb", "column:" + "x" * 201, 1])
def test_name_that_is_no_feature_is_refused(policy, name):
    found = problem(patch(client_of("admin"), {"environment": {"features": [name]}}), 400)["errors"]
    assert [error["field"] for error in found] == ["environment.features.0"]


def test_more_columns_than_fit_into_a_rollout_are_refused(policy):
    names = {"features": [f"column:{number}" for number in range(31)]}
    found = problem(patch(client_of("admin"), {"environment": names}), 400)["errors"]
    assert found == [{"field": "environment.features", "detail": "31 further columns; at most 30"}]


def test_columns_are_part_of_the_recipe_and_not_of_the_market(saved):
    config = PolicyStore.objects.get().training_config()
    without = config.model_copy(update={"environment": EnvironmentConfig(features=["range"])})
    assert recipe_digest(config, "scratch") != recipe_digest(without, "scratch")
    assert config.market.ledger_key() == without.market.ledger_key()


def test_pages_and_api_check_the_market_of_a_policy_with_its_columns(saved, root):
    client = client_of("admin")
    found = client.get("/api/v1/market-check?policy=rl_v3").json()
    assert (found["usable"], found["unused"], found["features"]) == (
        True,
        ["signal"],
        ["column:funding", "column:signal"],
    )
    text = (root / "m.csv").read_text().replace("funding", "rate")
    (root / "m.csv").write_text(text)
    found = client.get("/api/v1/market-check?policy=rl_v3").json()
    assert (found["usable"], found["problem"][:44]) == (False, "m.csv: column:funding can be no feature: no ")
    assert found["bars"] == 30
