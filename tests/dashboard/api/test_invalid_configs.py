"""A policy with an invalid stored config: every page, API resource and command works, and names or repairs it."""

import html
import json
from io import StringIO
from typing import Any, NamedTuple

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from celery_app import app
from rl_training import strict_yaml
from rl_training.core.config import PPOConfig
from rl_training.models import InvalidConfig, PolicyStore, TrainingRun
from rl_training.schedule.scheduler import PolicyStoreScheduler
from tests.access_rows import ADMIN, KEY
from tests.access_table import TABLE
from tests.admin.policy_pages import LIST, form_data
from tests.api_clients import JSON, POLICY, patch, problem, trigger, user_of
from tests.databases import SERVER

CHANGE = f"{LIST}{KEY}/change/"
HISTORY = f"{LIST}{KEY}/history/"


class Stored(NamedTuple):
    """A value that is stored in `section`, its problem, and a valid value for the setting that repairs it."""

    section: str
    raw: Any
    problem: str
    field: str
    valid: Any


CASES = {
    "unknown_key": Stored(
        "ppo", {"gama": 0.5}, f"gama: unknown; there are {', '.join(PPOConfig.model_fields)}", "gamma", 0.9
    ),
    "wrong_type": Stored("ppo", {"gamma": "high"}, "gamma: Input should be a valid number, got high", "gamma", 0.9),
    "out_of_range": Stored(
        "ppo", {"gamma": 7, "epochs": 3}, "gamma: Input should be less than or equal to 1, got 7", "gamma", 0.9
    ),
    "list": Stored("ppo", [1], "Input should be an object, got [1]", "gamma", 0.9),
    "null": Stored("ppo", None, "Input should be an object, got None", "gamma", 0.9),
    "rule_between_fields": Stored(
        "market",
        {"source": "file"},
        "path: required when source is file; name a file under MARKET_DATA_ROOT",
        "source",
        "sp500",
    ),
}


def store(section: str, raw: Any) -> None:
    """Store an invalid config in the policy `rl_v3` and in its history."""
    store_text(section, json.dumps(raw))


def store_text(section: str, text: str) -> None:
    with connection.cursor() as cursor:
        for table, key in (("policystore", "id"), ("historicalpolicystore", "history_id")):
            cursor.execute(f"UPDATE rl_training_{table} SET {section} = %s WHERE {key} = %s", [text, KEY])


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def stored(request: pytest.FixtureRequest, rows: None) -> Stored:
    case: Stored = request.param
    store(case.section, case.raw)
    return case


@pytest.fixture
def admin(rows: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user_of(ADMIN))
    return client


def policy() -> PolicyStore:
    return PolicyStore.objects.get(name="rl_v3")


def raw_of(section: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {section} FROM rl_training_policystore WHERE id = %s", [KEY])
        return json.loads(cursor.fetchone()[0])


def full(stored: Stored) -> str:
    """Return the problem with its path within the policy's settings."""
    separator = "." if stored.problem.startswith(("gam", "path")) else ": "
    return f"{stored.section}{separator}{stored.problem}"


def output_of(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def messages(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def test_every_url_answers_as_for_a_valid_config(admin):
    store("market", {"source": "file"})
    store("environment", [1])
    store("ppo", {"gama": 0.5, "gamma": "high", "epochs": 1000})
    expected = {row.path: row.expected("GET", ADMIN) for route, row in TABLE.items() if "logout" not in route}
    # There is no market to check: the answer names the problem.
    expected["/api/v1/market-check?policy=rl_v3"] = "400"
    found = {path: str(admin.get(path).status_code) for path in expected}
    assert found | {path: "*" for path, status in expected.items() if status == "*"} == expected


def test_problem_is_shown(admin, stored):
    assert stored.problem in html.unescape(admin.get("/policies/rl_v3/").content.decode())
    assert f"The stored {stored.section} is invalid" in messages(admin.get(CHANGE))
    assert stored.problem in messages(admin.get(f"{HISTORY}{KEY}/"))
    assert admin.get(POLICY).json()[stored.section] == stored.raw


def test_commands_show_the_stored_value(stored):
    listed = output_of("policystore", "list")
    values = stored.raw if isinstance(stored.raw, dict) else {}
    for field, value in values.items():
        assert f"rl_v3.{stored.section}.{field} = {json.dumps(value)}" in listed.splitlines()
    assert values or f"rl_v3.{stored.section} = {json.dumps(stored.raw)}" in listed.splitlines()
    assert json.loads(output_of("policystore", "get", f"rl_v3.{stored.section}.{stored.field}")) == values.get(
        stored.field
    )
    assert output_of("training_status", "rl_v3").startswith("rl_v3: every 60 min, 2 episodes a run")


@pytest.mark.parametrize(
    "text",
    [
        '{"gamma": ' + "[" * 900 + "]" * 900 + "}",
        pytest.param(
            '{"\\ud800": 1}', marks=pytest.mark.skipif(bool(SERVER), reason="PostgreSQL stores no surrogates")
        ),
    ],
    ids=["nested too deeply", "lone surrogate in a key"],
)
def test_json_that_cannot_be_shown_as_a_value_is_shown_as_text(admin, tmp_path, text):
    store_text("ppo", text)
    assert admin.get(POLICY).json()["ppo"] == text
    assert admin.get(f"{HISTORY}{KEY}/").status_code == 200
    assert f"rl_v3.ppo = {json.dumps(text)}" in output_of("policystore", "list").splitlines()
    file = tmp_path / "settings.yaml"
    output_of("policystore", "export", str(file))
    assert strict_yaml.parse_object(file.read_text())["policies"]["rl_v3"]["ppo"] == text


def test_runs_are_refused_with_the_problem(admin, operator, stored):
    assert full(stored) in messages(admin.post("/policies/rl_v3/train/", follow=True))
    selected = {"action": "train_now", "_selected_action": [KEY], "confirmed": "yes"}
    assert full(stored) in messages(admin.post(LIST, selected, follow=True))
    assert full(stored) in problem(trigger(operator), 409)["detail"]
    with pytest.raises(CommandError) as error:
        call_command("train_policy", "rl_v3")
    assert full(stored) in str(error.value)
    assert not policy().runs.active().exists()


def test_arm_of_the_policy_is_refused_with_the_problem(operator, stored):
    found = operator.post(f"{POLICY}accounts/", {"arm": "newest"}, content_type=JSON)
    assert full(stored) in problem(found, 400)["detail"]


def test_beat_skips_the_policy_with_the_problem(stored):
    PolicyStore.objects.exclude(name="rl_v3").update(enabled=False)
    healthy = PolicyStore.objects.create(name="healthy")
    assert PolicyStoreScheduler(app).run_due(timezone.now()) == 1
    assert TrainingRun.objects.active().filter(policy=healthy).exists()
    assert (policy().schedule_error, policy().next_run_at > timezone.now()) == (full(stored), True)


def test_policy_is_enabled_and_disabled_and_keeps_its_config(admin, operator, stored):
    for disable, enable in (
        (lambda: admin.post("/policies/rl_v3/disable/"), lambda: admin.post("/policies/rl_v3/enable/")),
        (
            lambda: admin.post(LIST, {"action": "disable", "_selected_action": [KEY]}),
            lambda: admin.post(LIST, {"action": "enable", "_selected_action": [KEY]}),
        ),
        (lambda: patch(operator, {"enabled": False}), lambda: patch(operator, {"enabled": True})),
        (
            lambda: call_command("policystore", "set", "rl_v3.training.enabled", "false", stdout=StringIO()),
            lambda: call_command("policystore", "set", "rl_v3.training.enabled", "true", stdout=StringIO()),
        ),
    ):
        disable()
        assert not policy().enabled
        enable()
        assert policy().enabled
    assert raw_of(stored.section) == stored.raw
    assert policy().history.latest().enabled


def test_saving_another_setting_keeps_the_stored_value(stored):
    edited = policy()
    edited.interval_minutes = 7
    edited.save_settings()
    assert (raw_of(stored.section), policy().interval_minutes) == (stored.raw, 7)
    entry = getattr(policy().history.latest(), stored.section)
    assert isinstance(entry, InvalidConfig)
    assert entry.raw == stored.raw
    with pytest.raises(ValidationError) as error:
        policy().full_clean()
    assert error.value.message_dict == {stored.section: [full(stored)]}


def test_other_edits_are_refused_until_it_is_repaired(operator, stored):
    found = problem(patch(operator, {"interval_minutes": 7}), 400)
    assert [f"{error['field']}: {error['detail']}" for error in found["errors"]] == [full(stored)]
    with pytest.raises(CommandError) as error:
        call_command("policystore", "set", "rl_v3.training.interval_minutes", "7")
    assert str(error.value) == f"rl_v3.{full(stored)}"
    assert policy().interval_minutes == 60


def repair_in_form(admin, operator, stored):
    assert admin.post(CHANGE, form_data(admin.get(CHANGE))).status_code == 302


def repair_from_history(admin, operator, stored):
    url = f"{HISTORY}{KEY}/"
    assert admin.post(url, form_data(admin.get(url))).status_code == 302


def repair_by_api(admin, operator, stored):
    assert patch(operator, {stored.section: {stored.field: stored.valid}}).status_code == 200


def repair_by_command(admin, operator, stored):
    key = f"rl_v3.{stored.section}.{stored.field}"
    call_command("policystore", "set", key, json.dumps(stored.valid), stdout=StringIO())


@pytest.mark.parametrize("repair", [repair_in_form, repair_from_history, repair_by_api, repair_by_command])
def test_config_is_repaired(admin, operator, stored, repair):
    repair(admin, operator, stored)
    assert policy().config_problems == []
    assert policy().training_config().episodes == 2
    if stored.raw == {"gamma": 7, "epochs": 3}:
        assert raw_of("ppo")["epochs"] == 3
