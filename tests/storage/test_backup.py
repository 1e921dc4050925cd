"""A backup and its restore, on this database and from one kind of database to the other."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper

from rl_training.files import artifacts, bars
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun
from rl_training.storage.backup import archive, files, restored_files, restoring, rows, settings_file
from rl_training.storage.backup.backing_up import back_up
from rl_training.storage.backup.snapshot import snapshot
from tests.core.run.small_run import bars as random_bars
from tests.dashboard.pages.page_rows import version_of
from tests.stored import deploy, finished_run, store_raw

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("artifact_root")]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stored(policy, tmp_path) -> PolicyVersion:
    """Store a run with bars, a live version with files, and a policy with an invalid config."""
    market = random_bars(200)
    bars.store(market)
    run = finished_run(policy, bars_digest=market.digest, curve={"x": [0.1, 1 / 3]}, avg_reward=1 / 3)
    version = version_of(run)
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.safetensors").write_bytes(b"\x00weights")
    version.artifact = artifacts.store(tmp_path / "policy", artifacts.name_of(run, 1))
    version.save()
    deploy(version)
    store_raw(PolicyStore.objects.create(name="broken"), "ppo", {"gamma": 2})
    User.objects.create_user("anna", password="secret")
    return version


def all_rows() -> dict[str, list[bytes]]:
    return {model._meta.label: [*rows.dump(model)] for model in rows.tables()}


def restored_elsewhere(
    path: Path, folder: Path, *options: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command restore with a state directory and an SQLite database of its own."""
    state = {"STATE_DIR": str(folder), "DATABASE_URL": "", "DJANGO_SETTINGS_MODULE": "quantum_trader.settings"}
    roots = dict.fromkeys(["ARTIFACT_ROOT", "CHECKPOINT_ROOT", "MARKET_DATA_ROOT"], "")
    command = [sys.executable, "manage.py", "restore", str(path), *options]
    environment = {**os.environ, "SECRET_KEY": "x", "ALLOWED_HOSTS": "x", **roots, **state, **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def connected_to(path: Path) -> Iterator[None]:
    """Let the models use the SQLite database of this file in the block."""
    usual = connections["default"]
    restored = DatabaseWrapper({**usual.settings_dict, "NAME": str(path), "OPTIONS": {}}, "default")
    connections["default"] = restored
    try:
        yield
    finally:
        connections["default"] = usual
        restored.close()


@pytest.mark.system
def test_restored_state_equals_the_one_of_the_backup(stored, tmp_path):
    path, folder = tmp_path / "backup.tar.gz", tmp_path / "restored"
    assert back_up(path).missing == ()
    assert path.stat().st_mode & 0o777 == 0o600
    found = restored_elsewhere(path, folder)
    assert found.returncode == 0, found.stderr
    artifact = folder / "artifacts" / stored.artifact / "policy.safetensors"
    assert artifact.read_bytes() == b"\x00weights"
    assert (folder / "artifacts" / "market-bars" / f"{stored.run.bars_digest}.npz").exists()
    here = all_rows()
    with connected_to(folder / "db.sqlite3"):
        assert all_rows() == here
    again = restored_elsewhere(path, folder)
    assert again.returncode == 1
    assert "The database has tables. A restore needs an empty one" in again.stderr


def test_snapshot_does_not_see_what_is_written_after_its_first_statement(stored):
    def write() -> None:
        finished_run(stored.policy)
        connection.close()

    if connection.vendor == "sqlite":
        pytest.skip("the SQLite of the tests is in memory, where a reader blocks writers")
    with snapshot():
        assert TrainingRun.objects.count() == 1
        writer = threading.Thread(target=write)
        writer.start()
        writer.join()
        assert TrainingRun.objects.count() == 1
    assert TrainingRun.objects.count() == 2


def test_weights_that_retention_removes_during_the_backup_count_as_removed(stored, tmp_path, monkeypatch):
    add_artifact = files.add_artifact

    def removed_first(writer, name):
        PolicyVersion.objects.update(weights_removed_at="2026-01-01T00:00:00Z")
        artifacts.remove(name)
        return add_artifact(writer, name)

    monkeypatch.setattr(files, "add_artifact", removed_first)
    assert back_up(tmp_path / "backup").missing == ()
    with archive.reading(tmp_path / "backup") as reader:
        assert reader.manifest.without_weights == [stored.artifact]


def test_lost_artifact_is_named_and_the_rest_is_backed_up(stored, tmp_path):
    artifacts.remove(stored.artifact)
    with pytest.raises(CommandError, match=f"not in the storage: {stored.artifact}") as raised:
        call_command("backup", str(tmp_path / "backup"), stdout=StringIO())
    assert raised.value.returncode == 3
    with archive.reading(tmp_path / "backup") as reader:
        assert "rows/rl_training.TrainingRun.jsonl" in reader


def test_damaged_or_other_file_is_refused(stored, tmp_path):
    path = tmp_path / "backup"
    back_up(path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    (tmp_path / "short").write_bytes(path.read_bytes()[:-200])
    (tmp_path / "text").write_text("no backup")
    for name in ("damaged", "short", "text", "missing"):
        with pytest.raises(archive.BackupError, match=r"is damaged|is incomplete|cannot be read"):
            restoring.restore(tmp_path / name)


def crafted(path: Path, *members: tuple[str, bytes], **manifest: object) -> Path:
    """Write a backup with these members and a manifest whose digests fit them, unless `manifest` has others."""
    parts = {"format": 1, "migrations": [], "columns": {}, "without_weights": []}
    parts["digests"] = {name: hashlib.sha256(content).hexdigest() for name, content in members}
    with tarfile.open(path, "w:gz") as file:
        for name, content in (*members, ("manifest.json", json.dumps(parts | manifest).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("members", "manifest", "message"),
    [
        ([("artifacts/../../outside", b"")], {}, "which cannot be part of a backup"),
        ([("/outside", b"")], {}, "which cannot be part of a backup"),
        ([("market/./prices.csv", b"")], {}, "which cannot be part of a backup"),
        ([("market//prices.csv", b"")], {}, "which cannot be part of a backup"),
        ([("market/prices.csv", b"1"), ("market/prices.csv", b"2")], {}, "market/prices.csv twice"),
        ([("market/prices.csv", b"1")], {"digests": {"market/prices.csv": "0" * 64}}, "does not have the digest"),
        ([], {"digests": {"market/prices.csv": "0" * 64}}, "does not have the digest"),
        ([("market/prices.csv", b"1")], {"digests": {}}, "does not have the digest"),
        ([("manifest.json", b"no JSON")], {}, "manifest.json cannot be read"),
        ([("manifest.json", b"[]")], {}, "manifest.json cannot be read"),
        ([], {"digests": []}, "manifest.json cannot be read"),
        ([], {"columns": {"auth.User": 1}}, "manifest.json cannot be read"),
        ([], {"format": 2}, "of another release"),
        ([], {}, "by an older release"),
    ],
)
def test_crafted_backup_is_refused_and_leaves_nothing(members, manifest, message, tmp_path, settings):
    settings.MARKET_DATA_ROOT = tmp_path / "market"
    with pytest.raises(archive.BackupError, match=message):
        restoring.restore(crafted(tmp_path / "backup", *members, **manifest))
    assert [found.name for found in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE])
def test_member_that_is_no_plain_file_is_refused(kind, tmp_path):
    path = tmp_path / "backup"
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as file:
        member = tarfile.TarInfo("market/prices.csv")
        member.type, member.linkname = kind, "/etc/passwd"
        file.addfile(member)
    with pytest.raises(archive.BackupError, match="which cannot be part of a backup"):
        restoring.restore(path)


def changed(path: Path, target: Path, member: str, change: Callable[[bytes], bytes]) -> Path:
    """Write a copy of a backup in which a member is changed, with digests that fit."""
    with archive.reading(path) as reader:
        contents = {name: content.read() for name, content in reader.members()}
        contents[member] = change(contents[member])
        parts = reader.manifest.model_dump(exclude={"digests"})
    return crafted(target, *contents.items(), **parts)


def without_policies(rows_of_policies: bytes) -> bytes:
    return b""


def with_a_short_row(rows_of_policies: bytes) -> bytes:
    return rows_of_policies + b"[1]\n"


@pytest.mark.system
def test_restore_that_fails_leaves_nothing_and_may_be_repeated(stored, tmp_path):
    path, folder = tmp_path / "backup", tmp_path / "restored"
    back_up(path)
    policies = "rows/rl_training.PolicyStore.jsonl"
    for change, message in (
        (without_policies, "rows that refer to missing rows"),
        (with_a_short_row, "The rows of rl_training.PolicyStore cannot be stored"),
    ):
        found = restored_elsewhere(changed(path, tmp_path / "changed", policies, change), folder)
        assert (found.returncode, message in found.stderr, "Traceback" in found.stderr) == (1, True, False)
        assert {name.name.partition("-")[0] for name in folder.rglob("*")} <= {"db.sqlite3", "artifacts"}
    assert restored_elsewhere(path, folder).returncode == 0


def restore_files(path: Path, then: Callable[[], object]) -> None:
    with archive.reading(path) as reader, restored_files.restored(reader, BytesIO(b"A=1")):
        then()


def test_files_of_a_restore_that_fails_are_removed(artifact_root, tmp_path, settings):
    settings.STATE_DIR, settings.MARKET_DATA_ROOT = tmp_path / "state", tmp_path / "market"
    members = [("artifacts/a/b/weights", b"1"), ("market/prices.csv", b"2"), (f"market/{'x' * 300}", b"3")]
    roots = (artifact_root, settings.MARKET_DATA_ROOT, settings.STATE_DIR)

    def interrupt() -> None:
        assert (settings.MARKET_DATA_ROOT / "prices.csv").read_bytes() == b"2"
        assert (settings.STATE_DIR / "restored.env").read_bytes() == b"A=1"
        raise KeyboardInterrupt

    with pytest.raises(OSError, match="File name too long"):
        restore_files(crafted(tmp_path / "too long", *members), interrupt)
    assert [path for root in roots for path in root.rglob("*")] == []
    with pytest.raises(KeyboardInterrupt):
        restore_files(crafted(tmp_path / "backup", *members[:2]), interrupt)
    assert [path for root in roots for path in root.rglob("*")] == []


def test_backup_does_not_write_into_a_file_that_others_have_made(stored, tmp_path):
    planted = tmp_path / ".backup.partial"
    planted.touch(mode=0o666)
    back_up(tmp_path / "backup")
    assert planted.read_bytes() == b""


def test_backup_without_the_rows_of_a_table_is_refused(tmp_path):
    migrations = sorted(rows.migrations())
    with pytest.raises(archive.BackupError, match=r"lacks the rows of rl_training\.FollowedMarket"):
        restoring.restore(crafted(tmp_path / "backup", migrations=migrations))


def test_backup_overwrites_no_file_and_leaves_none_after_an_error(stored, tmp_path, monkeypatch):
    path = tmp_path / "backup"
    path.write_text("kept")
    with pytest.raises(archive.BackupError, match="exists already"):
        back_up(path)
    assert path.read_text() == "kept"

    def fail(*_):
        raise OSError("Input/output error")

    monkeypatch.setattr(files, "add_bars", fail)
    with pytest.raises(OSError, match="Input/output error"):
        back_up(tmp_path / "other")
    assert [found.name for found in tmp_path.glob("*other*")] == []


def test_restore_into_a_database_with_tables_is_refused(stored, tmp_path):
    back_up(tmp_path / "backup")
    with pytest.raises(archive.BackupError, match="The database has tables"):
        restoring.restore(tmp_path / "backup")


def test_settings_hold_secrets_only_with_a_passphrase(monkeypatch, settings):
    settings.BASE_DIR = ROOT
    monkeypatch.setenv("SECRET_KEY", "top")
    monkeypatch.setenv("RUNS_KEPT", "5000")
    name, content = settings_file.written("")
    assert (name, b"RUNS_KEPT='5000'" in content, b"top" in content) == ("settings.env", True, False)
    name, content = settings_file.written("correct horse")
    assert (name, b"top" in content) == ("settings.env.encrypted", False)
    assert b"SECRET_KEY='top'" in settings_file.decrypted(content, "correct horse")
    with pytest.raises(archive.BackupError, match="The passphrase is not the one"):
        settings_file.decrypted(content, "wrong")
