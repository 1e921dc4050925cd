import os

import pytest
from django.conf import settings

from rl_training.files import artifacts

pytestmark = pytest.mark.usefixtures("artifact_root")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    (folder / "policy.safetensors").write_bytes(b"\x00weights")
    return folder


def test_stored_files_are_fetched_unchanged(folder, tmp_path_factory):
    fetched = tmp_path_factory.mktemp("fetched")
    artifacts.fetch(artifacts.store(folder, "rl_v3/0123456789ab-1"), fetched)
    assert {path.name: path.read_bytes() for path in fetched.iterdir()} == {
        "manifest.json": b"{}",
        "policy.safetensors": b"\x00weights",
    }


def test_existing_artifact_is_not_overwritten(folder):
    artifacts.store(folder, "rl_v3/0123456789ab-2")
    (folder / "manifest.json").write_text("other")
    with pytest.raises(FileExistsError, match="rl_v3/0123456789ab-2/manifest.json exists already"):
        artifacts.store(folder, "rl_v3/0123456789ab-2")
    assert (settings.ARTIFACT_ROOT / "rl_v3/0123456789ab-2/manifest.json").read_text() == "{}"


def test_artifact_that_cannot_be_stored_whole_is_removed(folder):
    (folder / "zoo").mkdir()
    with pytest.raises(IsADirectoryError):
        artifacts.store(folder, "rl_v3/0123456789ab-5")
    assert not (settings.ARTIFACT_ROOT / "rl_v3/0123456789ab-5").exists()


def test_artifacts_are_readable_by_their_owner_only(folder):
    artifacts.store(folder, "rl_v3/0123456789ab-3")
    file = settings.ARTIFACT_ROOT / "rl_v3/0123456789ab-3/policy.safetensors"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_stored_files_and_folders_are_synced_to_the_disk(folder, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    artifacts.store(folder, "rl_v3/0123456789ab-4")
    stored = settings.ARTIFACT_ROOT.resolve() / "rl_v3/0123456789ab-4"
    files = {str(stored / name) for name in ("manifest.json", "policy.safetensors")}
    assert {*files, str(stored), str(stored.parent)} == set(synced)
