"""The version that is exported, and its folder."""

import json

import pytest
from django.core.management import CommandError, call_command

from rl_training.models import PolicyVersion, TrainingRun
from rl_training.runs import lifecycle
from rl_training.tasks import train_policy
from tests.stored import deploy

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def versions(small_policy, streams, artifact_root) -> list[PolicyVersion]:
    """Return two versions of a policy."""
    for _ in range(2):
        train_policy(lifecycle.enqueue(small_policy, TrainingRun.Trigger.COMMAND).run_id)
    return list(PolicyVersion.objects.order_by("number"))


def export(*arguments: str) -> None:
    call_command("policy_export", "rl_v3", *map(str, arguments))


def test_newest_version_is_exported_until_one_is_live(versions, tmp_path, capsys):
    export(tmp_path / "newest")
    deploy(versions[0])
    export(tmp_path / "live")
    export(tmp_path / "chosen", "--version=2")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Version")]
    assert lines == [
        f"Version 2 of rl_v3, the newest one, is in {tmp_path}/newest:",
        f"Version 1 of rl_v3, the live one, is in {tmp_path}/live:",
        f"Version 2 of rl_v3 is in {tmp_path}/chosen:",
    ]
    described = json.loads((tmp_path / "live" / "policy.json").read_text())
    assert (described["version"], described["sha256"]) == (1, versions[0].sha256)
    assert sorted(path.name for path in (tmp_path / "live").iterdir()) == [
        "decide.py",
        "policy.json",
        "policy.onnx",
        "policy.safetensors",
    ]


def test_folder_that_is_not_empty_stays_as_it_is(versions, tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(CommandError, match="exists and is no empty folder"):
        export(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["kept"]
    (tmp_path / "empty").mkdir()
    export(tmp_path / "empty")
    assert (tmp_path / "empty" / "decide.py").exists()


def test_version_without_files_leaves_no_folder(versions, tmp_path, artifact_root):
    (artifact_root / versions[1].artifact / "policy.safetensors").unlink()
    with pytest.raises(CommandError, match="version 2 of rl_v3 cannot be read"):
        export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("policy")
def test_unknown_policy_and_versions_are_refused(tmp_path):
    with pytest.raises(CommandError, match="rl_v3 has no version yet"):
        export(tmp_path / "out")
    with pytest.raises(CommandError, match="rl_v3 has no version 7"):
        export(tmp_path / "out", "--version=7")
    with pytest.raises(CommandError) as error:
        call_command("policy_export", "absent", str(tmp_path / "out"))
    assert error.value.returncode == 2
