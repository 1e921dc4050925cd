"""Artifacts of attempts whose end was never committed, and temporary folders of killed processes."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from rl_training.files import artifacts, checkpoints
from rl_training.models import PolicyVersion, TrainingRun
from rl_training.streams import retention
from tests.active_runs import queued_run
from tests.stored import finished_run

pytestmark = pytest.mark.django_db(transaction=True)

TOMORROW = timedelta(days=1, minutes=1)


@pytest.fixture
def stored(tmp_path):
    """Return a function that stores an artifact of some attempts of a run and returns the artifacts' names."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "manifest.json").write_text("{}")

    def store(run: TrainingRun, *attempts: int) -> list[str]:
        return [artifacts.store(tmp_path / "made", artifacts.name_of(run, attempt)) for attempt in attempts]

    return store


def is_there(name: str) -> bool:
    return (Path(settings.ARTIFACT_ROOT) / name).exists()


def test_artifact_of_a_lost_attempt_is_removed_a_day_after_the_run(policy, streams, stored):
    run = finished_run(policy, attempt=3)
    lost, kept = stored(run, 1, 3)
    PolicyVersion.objects.create(policy=policy, number=1, run=run, artifact=kept, evaluation={})
    assert retention.remove_lost_artifacts(timezone.now()) == 0
    assert is_there(lost)
    assert retention.remove_lost_artifacts(timezone.now() + TOMORROW) == 1
    assert (is_there(lost), is_there(kept)) == (False, True)


def test_artifact_of_a_run_that_made_no_version_is_removed(policy, streams, stored):
    names = [stored(finished_run(policy, attempt=1, status=status), 1)[0] for status in ("failed", "cancelled")]
    assert retention.remove_lost_artifacts(timezone.now() + TOMORROW) == 2
    assert [is_there(name) for name in names] == [False, False]


def test_artifacts_of_active_and_of_unknown_runs_stay(policy, streams, stored):
    active = queued_run(policy)
    TrainingRun.objects.update(status="running", attempt=2)
    unknown = TrainingRun(policy=policy, run_id="0123456789ab")
    names = stored(active, 1, 2) + stored(unknown, 1)
    assert retention.remove_lost_artifacts(timezone.now() + timedelta(days=400)) == 0
    assert all(is_there(name) for name in names)


def test_each_round_checks_a_batch_and_continues_after_it(policy, streams, stored, monkeypatch):
    monkeypatch.setattr(retention, "ARTIFACT_BATCH", 2)
    for _ in range(5):
        stored(finished_run(policy, attempt=1, status="failed"), 1)
    later = timezone.now() + TOMORROW
    assert [retention.remove_lost_artifacts(later) for _ in range(4)] == [2, 2, 1, 0]


def test_checked_runs_are_not_checked_again(policy, streams, stored):
    finished_run(policy, attempt=1, status="failed")
    retention.remove_lost_artifacts(timezone.now() + TOMORROW)
    stored(TrainingRun.objects.get(), 1)
    assert retention.remove_lost_artifacts(timezone.now() + TOMORROW) == 0


def test_temporary_folder_of_a_killed_process_is_removed_with_the_run(policy, streams):
    run = finished_run(policy, attempt=2)
    other = finished_run(policy, attempt=1)
    left = [settings.CHECKPOINT_ROOT / f"{name.run_id}-1.x7k2.tmp" for name in (run, other)]
    for folder in left:
        (folder / "policy").mkdir(parents=True)
    checkpoints.remove(run)
    assert [folder.exists() for folder in left] == [False, True]


def test_temporary_folder_is_beside_the_checkpoints_and_has_the_runs_id(policy):
    run = finished_run(policy, attempt=2)
    with checkpoints.temporary_folder(run) as folder:
        assert folder.parent == settings.CHECKPOINT_ROOT
        assert folder.name.startswith(f"{run.run_id}-2.")
    assert not folder.exists()
