"""A saved market that names a file: the file must exist under MARKET_DATA_ROOT, however the market is saved."""

from typing import Any

import pytest

from rl_training import keys
from rl_training.market_files import file_problems, offered_files
from rl_training.models import PolicyStore
from tests.admin.policy_pages import LIST, edit, errors, form_data
from tests.api_clients import client_of, patch, problem

pytestmark = pytest.mark.django_db
ABSENT = {"source": "file", "path": "absent.csv"}


@pytest.fixture
def root(tmp_path, settings):
    settings.MARKET_DATA_ROOT = tmp_path
    for name in ("a.csv", "b.PARQUET", "deep/c.csv", "notes.md", ".hidden.csv", "exchange/kraken/x.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "outside.csv").symlink_to("/etc/hostname")
    return tmp_path


def message(root, rule, path):
    return f"{rule}, got {path}; files in {root}: a.csv, b.PARQUET, deep/c.csv"


@pytest.fixture
def gone(policy, root):
    """A policy whose file has gone since it was saved."""
    policy.market = policy.market.model_copy(update={"source": "file", "path": "gone.csv"})
    policy.save_settings()
    return policy


def test_market_files_under_the_root_are_offered(root):
    assert offered_files() == ["a.csv", "b.PARQUET", "deep/c.csv"]


def test_root_that_does_not_exist_offers_nothing(settings, tmp_path):
    settings.MARKET_DATA_ROOT = tmp_path / "none"
    assert offered_files() == []


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("absent.csv", "there is no such file under MARKET_DATA_ROOT, {root}"),
        ("../x.csv", "leads outside MARKET_DATA_ROOT, {root}"),
        ("/etc/passwd", "is an absolute path; name the file relative to MARKET_DATA_ROOT"),
        ("outside.csv", "leads outside MARKET_DATA_ROOT, {root}"),
        ("deep", "is a directory"),
    ],
)
def test_command_refuses_path_that_no_run_could_read(policy, root, path, rule):
    with pytest.raises(keys.SettingError) as refused:
        keys.set_values({"rl_v3.market.source": "file", "rl_v3.market.path": path})
    assert str(refused.value) == "rl_v3.market.path: " + message(root, rule.format(root=root), path)
    keys.set_values({"rl_v3.market.source": "file", "rl_v3.market.path": "a.csv"})
    assert keys.get("rl_v3.market.path") == "a.csv"


def test_api_refuses_missing_file_at_its_field(policy, root):
    client = client_of("admin")
    detail = message(root, f"there is no such file under MARKET_DATA_ROOT, {root}", "absent.csv")
    expected = [{"field": "market.path", "detail": detail}]
    assert problem(patch(client, {"market": ABSENT}), 400)["errors"] == expected
    body = {"name": "new", "market": ABSENT}
    created = client.post("/api/v1/policies/", body, content_type="application/json")
    assert problem(created, 400)["errors"] == expected
    assert keys.get("rl_v3.market.source") == "sp500"


def test_form_refuses_missing_file_beside_its_field(admin_client, policy, root):
    response = edit(admin_client, policy, market=ABSENT)
    text = message(root, f"there is no such file under MARKET_DATA_ROOT, {root}", "absent.csv")
    assert errors(response) == {"market": [f"path: {text}"]}
    field = response.context["adminform"].form.fields["market"]
    assert field.widget.error_map == {"path": [text]}
    page = response.content.decode()
    assert '<option value="deep/c.csv"></option>' in page
    assert edit(admin_client, policy, market={"source": "file", "path": "a.csv"}).status_code == 302


def test_policy_whose_file_has_gone_stays_editable(admin_client, gone):
    assert edit(admin_client, gone, interval_minutes=5).status_code == 302
    keys.set_values({"rl_v3.market.train_fraction": "0.5"})
    assert patch(client_of("admin"), {"market": {"train_fraction": 0.6}, "ppo": {"gamma": 0.5}}).status_code == 200
    gone.refresh_from_db()
    assert (gone.interval_minutes, gone.market.train_fraction, gone.market.path) == (5, 0.6, "gone.csv")


def test_revert_to_file_that_has_gone_is_refused(admin_client, gone):
    entry = gone.history.latest()
    keys.set_values({"rl_v3.market.source": "nasdaq"})
    url = f"{LIST}{gone.pk}/history/{entry.pk}/"
    response = admin_client.post(url, form_data(admin_client.get(url)))
    assert "gone.csv" in errors(response)["market"][0]
    assert keys.get("rl_v3.market.source") == "nasdaq"


def test_copy_of_policy_whose_file_has_gone_is_refused(gone):
    client = client_of("admin")
    body: dict[str, Any] = {"name": "copy", "like": "rl_v3"}
    found = problem(client.post("/api/v1/policies/", body, content_type="application/json"), 400)
    assert [error["field"] for error in found["errors"]] == ["market.path"]
    body["market"] = {"path": "a.csv"}
    assert client.post("/api/v1/policies/", body, content_type="application/json").status_code == 201


def test_path_without_effect_is_not_checked(policy, root):
    keys.set_values({"rl_v3.market.path": "absent.csv"})
    assert file_problems(PolicyStore.objects.get().market) == []
