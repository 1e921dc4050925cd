"""A run stores its bars and its computing environment, so that it can be trained again."""

import errno

import pytest

from rl_training.core.compiled import SOURCES_DIGEST
from rl_training.files import bars
from rl_training.models import TrainingRun
from rl_training.runs import lifecycle
from rl_training.tasks import train_policy
from rl_training.worker.execution import execute
from tests.active_runs import claim

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(small_policy, streams, artifact_root) -> TrainingRun:
    return lifecycle.enqueue(small_policy, TrainingRun.Trigger.COMMAND, seed=7)


def test_run_stores_its_bars_and_its_computing_environment(run):
    train_policy(run.run_id)
    run.refresh_from_db()
    assert run.market_summary is not None
    assert run.bars_digest == run.market_summary["digest"]
    assert bars.fetch(run.bars_digest).digest == run.bars_digest
    assert run.computing_environment is not None
    assert run.computing_environment["code"]["sha256"] == SOURCES_DIGEST
    assert "earlier" not in run.computing_environment


def test_row_refers_to_the_bars_before_they_are_stored(run, monkeypatch):
    referring = []
    monkeypatch.setattr(bars, "store", lambda market: referring.append(TrainingRun.objects.get().bars_digest))
    train_policy(run.run_id)
    run.refresh_from_db()
    assert referring == [run.bars_digest] != [""]


def test_run_succeeds_where_the_bars_cannot_be_stored(run, monkeypatch, caplog):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bars, "store", fail)
    train_policy(run.run_id)
    run.refresh_from_db()
    assert run.status == "succeeded"
    assert [record.levelname for record in caplog.records if "bars were not stored" in record.getMessage()] == ["ERROR"]


def test_run_resumed_in_another_environment_names_both(run):
    execute(claim(run), should_stop=lambda: True)
    first = TrainingRun.objects.get().computing_environment
    assert first is not None
    other = {**first, "device": "NVIDIA H100, CUDA 12.8"}
    TrainingRun.objects.update(computing_environment=other)
    train_policy(run.run_id)
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("succeeded", 2)
    assert run.computing_environment == {**first, "earlier": [other]}
