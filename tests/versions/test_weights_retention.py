"""Versions that lose their weights; promotions and starts at the same time are not lost."""

from datetime import UTC, datetime, timedelta

import pytest

from rl_training.files import artifacts
from rl_training.models import Deployment, PolicyStore, PolicyVersion, Proposal, TrainingRun
from rl_training.runs import lifecycle
from rl_training.runs.triggering import RunOptions, WeightsRemovedError, trigger_run
from rl_training.versions import deployments, weights_retention
from rl_training.versions.changes import Author, Change, NotDeployableError
from tests.dashboard.pages.page_rows import version_of
from tests.stored import deploy, finished_run

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
AUTHOR = Author(Deployment.Actor.COMMAND)


@pytest.fixture(autouse=True)
def storage(streams, artifact_root, settings):
    """Keep two versions and those of two days, in a storage of the test's own."""
    settings.VERSIONS_KEPT, settings.VERSIONS_KEPT_DAILY_DAYS = 2, 2


@pytest.fixture
def versions(policy, tmp_path) -> list[PolicyVersion]:
    """Return ten versions with files: one each 8 hours, the last one an hour ago."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "policy.safetensors").write_bytes(b"weights")
    made = []
    for number in range(1, 11):
        run = finished_run(policy, attempt=1)
        version = version_of(run, number)
        version.artifact = artifacts.store(tmp_path / "made", artifacts.name_of(run, 1))
        version.created_at = NOW - timedelta(hours=1 + 8 * (10 - number))
        version.save()
        made.append(version)
    return made


def with_weights() -> list[int]:
    return list(PolicyVersion.objects.with_weights().order_by("number").values_list("number", flat=True))


def with_files(artifact_root) -> list[str]:
    return sorted(path.name for path in (artifact_root / "rl_v3").iterdir())


def promote(version: PolicyVersion) -> Deployment:
    return deployments.deploy(version.policy, Change(Deployment.Action.PROMOTE, "It is better.", version), AUTHOR)


def test_newest_version_and_last_of_each_recent_day_keep_weights(versions, artifact_root):
    # Version 10 was made at 11:00 on the 27th, 9 at 03:00, 8, 7 and 6 on the 26th, 5 at 19:00 on the 25th.
    assert weights_retention.remove_old(NOW) == 6
    assert with_weights() == [5, 8, 9, 10]
    assert with_files(artifact_root) == sorted(
        PolicyVersion.objects.get(number=number).artifact.split("/")[1] for number in (5, 8, 9, 10)
    )
    removed = PolicyVersion.objects.get(number=1)
    assert (removed.artifact, removed.sha256) == ("", "b" * 64)
    assert removed.weights_removed_at is not None
    assert weights_retention.remove_old(NOW) == 0


def test_versions_that_are_or_were_live_or_proposed_keep_their_weights(versions):
    deploy(versions[0])
    deploy(versions[1])
    columns = {"action": "promote", "reason": "It is better.", "actor": "user", "proposed_at": NOW}
    Proposal.objects.create(policy=versions[2].policy, version=versions[2], **columns)
    weights_retention.remove_old(NOW)
    assert with_weights() == [1, 2, 3, 5, 8, 9, 10]


def test_versions_that_an_active_run_may_read_keep_their_weights(versions):
    versions[3].parent = versions[0]
    versions[3].save()
    run = lifecycle.enqueue(versions[0].policy, TrainingRun.Trigger.COMMAND, initial_version=versions[3])
    weights_retention.remove_old(NOW)
    assert with_weights() == [1, 4, 5, 8, 9, 10]
    lifecycle.cancel(run)
    weights_retention.remove_old(NOW)
    assert with_weights() == [5, 8, 9, 10]


def test_each_round_removes_a_batch_and_continues_with_the_next_policy(versions, monkeypatch):
    monkeypatch.setattr(weights_retention, "VERSIONS", 4)
    monkeypatch.setattr(weights_retention, "POLICIES", 1)
    other = PolicyStore.objects.create(name="other")
    for number in (1, 2, 3, 4):
        version_of(finished_run(other), number)
    PolicyVersion.objects.filter(policy=other).update(created_at=NOW - timedelta(days=9), artifact="")
    assert [weights_retention.remove_old(NOW) for _ in range(6)] == [4, 2, 0, 2, 0, 0]


def test_removal_that_was_interrupted_after_the_commit_is_completed(versions, artifact_root, monkeypatch):
    monkeypatch.setattr(weights_retention, "remove_files", lambda: 0)
    weights_retention.remove_old(NOW)
    assert (len(with_weights()), len(with_files(artifact_root))) == (4, 10)
    monkeypatch.undo()
    assert weights_retention.remove_files() == 6
    assert (len(with_files(artifact_root)), weights_retention.remove_files()) == (4, 0)


def test_files_that_cannot_be_deleted_are_tried_again(versions, artifact_root, monkeypatch):
    def fail(name):
        raise OSError("Input/output error")

    monkeypatch.setattr(artifacts, "remove", fail)
    weights_retention.remove_old(NOW)
    monkeypatch.undo()
    assert len(with_files(artifact_root)) == 10
    weights_retention.remove_old(NOW)
    assert len(with_files(artifact_root)) == 4


def test_promotion_after_the_removal_is_refused(versions):
    chosen = PolicyVersion.objects.get(number=1)
    weights_retention.remove_old(NOW)
    with pytest.raises(NotDeployableError, match=r"The weights of version 1 of rl_v3 were removed\."):
        promote(chosen)
    assert not Deployment.objects.exists()


def test_promotion_before_the_removal_keeps_the_weights(versions, artifact_root, monkeypatch):
    lock = deployments.lock

    def promote_first(policy):
        monkeypatch.setattr(weights_retention, "lock", lock)
        promote(versions[0])
        return lock(policy)

    monkeypatch.setattr(weights_retention, "lock", promote_first)
    weights_retention.remove_old(NOW)
    assert with_weights() == [1, 5, 8, 9, 10]
    assert versions[0].artifact.split("/")[1] in with_files(artifact_root)


def test_run_from_a_version_without_weights_is_refused(versions):
    chosen = PolicyVersion.objects.get(number=1)
    weights_retention.remove_old(NOW)
    with pytest.raises(WeightsRemovedError, match="The weights of version 1 of rl_v3 were removed"):
        trigger_run(chosen.policy, TrainingRun.Trigger.COMMAND, RunOptions(initial_version=1))
    # Read before the removal.
    with pytest.raises(lifecycle.WeightsRemovedError):
        lifecycle.enqueue(chosen.policy, TrainingRun.Trigger.COMMAND, initial_version=chosen)
    assert not TrainingRun.objects.active().exists()


def test_artifact_without_a_name_is_neither_read_nor_removed(tmp_path):
    with pytest.raises(FileNotFoundError, match="its weights were removed"):
        artifacts.fetch("", tmp_path)
    with pytest.raises(ValueError, match="the storage's own folder is never removed"):
        artifacts.remove("")
