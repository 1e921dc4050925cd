import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_core import to_jsonable_python

from rl_training import keys
from rl_training.core.config import PPOConfig
from rl_training.models import PolicyStore
from tests.management.test_commands import output_of, refusal_of
from tests.stored import version_to_continue, walked_forward

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]


def test_policystore_lists_gets_and_sets(policy):
    assert "rl_v3.training.interval_minutes = 60\n" in output_of("policystore", "list")
    assert output_of("policystore", "set", "rl_v3.training.interval_minutes", "5") == (
        "rl_v3.training.interval_minutes = 5\n"
    )
    assert output_of("policystore", "get", "rl_v3.training.interval_minutes") == "5\n"


def test_policystore_refuses_interval_of_0_naming_the_minimum(policy):
    error = refusal_of("policystore", "set", "rl_v3.training.interval_minutes", "0")
    assert error.returncode == 2
    assert str(error) == "rl_v3.training.interval_minutes: Must be a whole number from 1 to 527,040, got 0."
    assert PolicyStore.objects.get().interval_minutes == 60


def test_dependent_settings_are_set_together_in_any_order(policy):
    pairs = ("rl_v3.ppo.minibatch_size=64", "rl_v3.ppo.num_envs=2")
    assert refusal_of("policystore", "set", pairs[1]).returncode == 2
    assert output_of("policystore", "set", *reversed(pairs)) == (
        "rl_v3.ppo.num_envs = 2\nrl_v3.ppo.minibatch_size = 64\n"
    )
    assert PolicyStore.objects.get().ppo == PPOConfig(num_envs=2, minibatch_size=64)


def test_one_refused_pair_prevents_all_changes_and_all_are_named(policy):
    PolicyStore.objects.create(name="other")
    pairs = ["other.training.interval_minutes=5", "rl_v3.training.interval_minutes=0", "rl_v3.ppo.gamma=2", "x=1"]
    refused = str(refusal_of("policystore", "set", *pairs)).splitlines()
    assert [line.split(":")[0] for line in refused[1:]] == ["rl_v3.training.interval_minutes", "rl_v3.ppo.gamma"]
    assert refused[0].startswith("'x' is not a key")
    assert set(PolicyStore.objects.values_list("interval_minutes", flat=True)) == {60}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["rl_v3.ppo.gamma"], "'rl_v3.ppo.gamma' has no value"),
        (["rl_v3.ppo.gamma=1", "rl_v3.ppo.epochs"], "'rl_v3.ppo.epochs' has no value"),
        (["rl_v3.ppo.gamma", "1", "rl_v3.ppo.epochs"], "'rl_v3.ppo.epochs' has no value"),
        (["rl_v3.ppo.gamma=1", "rl_v3.ppo.gamma=0.5"], "given more than once"),
    ],
)
def test_incomplete_or_repeated_pair_is_refused(policy, pairs, message):
    assert message in str(refusal_of("policystore", "set", *pairs))
    assert keys.get("rl_v3.ppo.gamma") == 0.99


@pytest.mark.parametrize("value", ["-1e-5", "-0.00001"])
def test_negative_value_is_not_taken_for_an_option(policy, value):
    output_of("policystore", "set", "rl_v3.environment.funding_rate", value)
    assert keys.get("rl_v3.environment.funding_rate") == -1e-5


@pytest.mark.parametrize("symbol", ["7203", "0700", "1e5", "NaN", '"7203"'])
def test_text_that_looks_like_a_number_needs_no_quotes(policy, symbol):
    output_of("policystore", "set", f"rl_v3.market.symbol={symbol}")
    assert keys.get("rl_v3.market.symbol") == symbol.strip('"')


def test_several_keys_and_values_may_stand_apart(policy):
    output_of("policystore", "set", "rl_v3.ppo.gamma", "0.5", "rl_v3.environment.funding_rate", "-1e-5")
    assert (keys.get("rl_v3.ppo.gamma"), keys.get("rl_v3.environment.funding_rate")) == (0.5, -1e-5)


def test_created_policy_has_defaults(policy):
    assert output_of("policystore", "create", "btc") == "Policy btc is created, enabled.\n"
    assert PolicyStore.objects.get(name="btc").interval_minutes == 60


def test_copy_has_all_settings_and_is_disabled(policy):
    output_of("policystore", "set", "rl_v3.ppo.gamma=0.5", "rl_v3.training.interval_minutes=7")
    assert output_of("policystore", "create", "copy", "--like", "rl_v3") == "Policy copy is created, disabled.\n"
    copy = [keys.get(f"copy.{key}") for key in ("ppo.gamma", "training.interval_minutes", "training.enabled")]
    assert copy == [0.5, 7, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rl_v3"], "name: There is a policy rl_v3 already."),
        (["RL"], "name: Lower-case letters, digits and underscores, starting with a letter."),
        (["x" * 51], "name: Ensure this value has at most 50 characters (it has 51)."),
        (["btc", "--like", "eth"], "unknown policy 'eth'; known policies: rl_v3"),
    ],
)
def test_policy_that_cannot_be_created_is_refused(policy, arguments, message):
    assert str(refusal_of("policystore", "create", *arguments)) == message
    assert PolicyStore.objects.count() == 1


def test_exported_settings_are_imported_as_they_were(policy, tmp_path):
    file = str(tmp_path / "settings.json")
    output_of("policystore", "create", "other")
    assert output_of("policystore", "export", file) == f"2 policies written to {file}.\n"
    output_of("policystore", "set", "rl_v3.ppo.gamma=0.5")
    PolicyStore.objects.filter(name="other").delete()
    changes = "other: created\nrl_v3.ppo.gamma: 0.5 -> 0.99\n"
    dry_run = output_of("policystore", "import", file, "--dry-run")
    assert dry_run == changes + "Nothing was saved: this was a dry run.\n"
    assert (PolicyStore.objects.count(), keys.get("rl_v3.ppo.gamma")) == (1, 0.5)
    assert output_of("policystore", "import", file) == changes + "2 changes saved.\n"
    assert output_of("policystore", "export") == Path(file).read_text()
    assert list(json.loads(output_of("policystore", "export", "other"))["policies"]) == ["other"]


def test_change_that_discards_learned_weights_is_named(policy, tmp_path, capsys):
    version_to_continue(policy)
    output_of("policystore", "set", "rl_v3.ppo.gamma=0.5")
    assert capsys.readouterr().err == ""
    warning = "rl_v3: The next run starts from scratch and does not use the weights of version 3: features changed.\n"
    output_of("policystore", "set", 'rl_v3.environment.features=["macd"]', "rl_v3.ppo.gamma=0.6")
    assert capsys.readouterr().err == warning
    (tmp_path / "s.yaml").write_text("policies: {rl_v3: {environment: {features: [rsi_14]}}, other: {}}")
    output_of("policystore", "import", str(tmp_path / "s.yaml"), "--dry-run")
    assert capsys.readouterr().err == warning
    output_of("policystore", "set", "rl_v3.training.start_from=scratch")
    assert capsys.readouterr().err == ""


def test_ended_validation_is_reported_before_and_after_saving(policy, tmp_path, capsys):
    validation = walked_forward(policy)
    warning = (
        f"rl_v3: Validation {validation} expires: it is for the present recipe only. No new version goes live by "
        "itself until the new recipe is validated, which is a trial.\n"
    )
    (tmp_path / "s.json").write_text('{"policies": {"rl_v3": {"ppo": {"gamma": 0.5}}, "other": {}}}')
    output_of("policystore", "import", str(tmp_path / "s.json"), "--dry-run")
    assert capsys.readouterr().err == warning
    output_of("policystore", "set", "rl_v3.training.interval_minutes=5")
    assert capsys.readouterr().err == ""
    output_of("policystore", "set", "rl_v3.ppo.gamma=0.5")
    assert capsys.readouterr().err == warning


@pytest.mark.parametrize("name", ["settings.yaml", "settings.yml"])
def test_settings_exported_as_yaml_are_imported_as_they_were(policy, tmp_path, name):
    before = keys.settings_of(policy)
    output_of("policystore", "set", "rl_v3.ppo.learning_rate=1e-5", "rl_v3.environment.positions=[-1,1]")
    exported = output_of("policystore", "export")
    output_of("policystore", "export", str(tmp_path / name))
    assert (tmp_path / name).read_text().startswith("policies:\n  rl_v3:\n    enabled: true\n")
    output_of("policystore", "set", *(f"{key}={json.dumps(to_jsonable_python(value))}" for key, value in before))
    assert output_of("policystore", "export") != exported
    output_of("policystore", "import", str(tmp_path / name))
    assert output_of("policystore", "export") == exported


def test_import_validates_all_policies_before_it_changes_one(policy, tmp_path):
    file = tmp_path / "settings.json"
    settings = {"a": {"ppo": {"gamma": 2}}, "B": {}, "c": 5, "rl_v3": {"interval_minutes": 5, "market": {"path": "\n"}}}
    file.write_text(json.dumps({"policies": settings | {"d": {"enabled": 1, "bogus": 2}}}))
    refused = str(refusal_of("policystore", "import", str(file))).splitlines()
    assert [line.split(":")[0] for line in refused] == [
        "a.ppo.gamma",
        "B.name",
        "c.settings",
        "rl_v3.market.path",
        "d.enabled",
        "d.bogus",
    ]
    assert PolicyStore.objects.get().interval_minutes == 60


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"policies": []}',
        '{"policies": {}, "x": 1}',
        "a: 1",
        "[" * 9999,
        "policies:\n  rl_v3:\n    interval_minutes: yes",
        "policies:\n  rl_v3:\n    interval_minutes: 2026-01-01",
    ],
)
def test_file_that_is_no_export_is_refused(policy, tmp_path, text):
    (tmp_path / "settings.json").write_text(text)
    assert refusal_of("policystore", "import", str(tmp_path / "settings.json")).returncode == 2


def test_missing_file_is_refused(policy, tmp_path):
    absent = tmp_path / "none.json"
    assert (
        str(refusal_of("policystore", "import", str(absent))) == f"{absent} cannot be read: No such file or directory"
    )
    assert "cannot be written" in str(refusal_of("policystore", "export", str(tmp_path / "none/s.json")))


@pytest.mark.process
def test_closed_output_pipe_ends_without_traceback(tmp_path):
    environment = os.environ | {"STATE_DIR": str(tmp_path), "DATABASE_URL": ""}
    command = [sys.executable, str(ROOT / "manage.py"), "help"]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_new_settings_are_set_exported_and_imported(policy, tmp_path):
    file = str(tmp_path / "settings.json")
    given = {"start_from": "live", "seeds": "5", "min_new_bars": "24", "promotion": "newest"}
    output_of("policystore", "set", *(f"rl_v3.training.{name}={value}" for name, value in given.items()))
    assert 'rl_v3.training.start_from = "live"\n' in output_of("policystore", "list")
    output_of("policystore", "export", file)
    output_of("policystore", "set", "rl_v3.training.start_from=scratch", "rl_v3.training.min_new_bars=0")
    assert output_of("policystore", "import", file) == (
        'rl_v3.min_new_bars: 0 -> 24\nrl_v3.start_from: "scratch" -> "live"\n2 changes saved.\n'
    )


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("start_from=best", 'Must be one of scratch, live, newest, got "best".'),
        ("promotion=1", "one of validated, manual, newest"),
        ("seeds=33", "32"),
        ("min_new_bars=-1", "0"),
    ],
)
def test_new_setting_outside_its_choices_is_refused(policy, pair, message):
    assert message in str(refusal_of("policystore", "set", f"rl_v3.training.{pair}"))
