import json

import pytest

from rl_training.core.sealed import sealed
from rl_training.files import artifacts
from rl_training.files.evaluations import complete
from rl_training.models import PolicyVersion

pytestmark = pytest.mark.usefixtures("artifact_root")


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "policy"
    folder.mkdir()
    content = {"metadata": {"evaluation": {"bars": 9, "equity_curve": [1, 2, 3]}}}
    (folder / "manifest.json").write_text(json.dumps(sealed(folder, 1, content)))
    artifact = artifacts.store(folder, "rl_v3/0123456789ab-1")
    return PolicyVersion(artifact=artifact, evaluation={"bars": 9, "equity_curve": [1, 3]})


def test_evaluation_is_complete_while_the_artifact_is_there(version):
    assert complete(version) == {"bars": 9, "equity_curve": [1, 2, 3]}


def test_evaluation_is_that_of_the_row_without_an_artifact(version):
    artifacts.remove(version.artifact)
    assert complete(version) == {"bars": 9, "equity_curve": [1, 3]}


@pytest.mark.parametrize("artifact", ["", "../outside", "rl_v3"])
def test_evaluation_is_that_of_the_row_when_the_artifact_is_unreadable(version, artifact):
    version.artifact = artifact
    assert complete(version) == {"bars": 9, "equity_curve": [1, 3]}
