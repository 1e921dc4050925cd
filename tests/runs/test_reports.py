import pytest

from rl_training.models import PolicyVersion, TrainingRun
from rl_training.runs.reports import describe_run, describe_start
from tests.stored import finished_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions(policy) -> dict[int, PolicyVersion]:
    columns = {"policy": policy, "evaluation": {}}
    return {n: PolicyVersion.objects.create(number=n, run=finished_run(policy), **columns) for n in (1, 2)}


@pytest.mark.parametrize(
    ("initial", "started", "note", "ended", "text"),
    [
        (None, None, None, False, "Will start from scratch"),
        (2, None, None, False, "Will start from version 2"),
        (2, None, None, True, "Was to start from version 2"),
        (2, 2, "", False, "Started from version 2"),
        (2, 1, "Version 2 cannot be read.", True, "Started from version 1: Version 2 cannot be read."),
        (2, None, "features differ", True, "Started from scratch: features differ"),
        (None, None, "", True, "Started from scratch"),
    ],
)
def test_start_of_a_run_is_what_training_really_started_from(policy, versions, initial, started, note, ended, text):
    run = finished_run(
        policy, initial_version=versions.get(initial), started_from=versions.get(started), start_note=note
    )
    if not ended:
        TrainingRun.objects.filter(pk=run.pk).update(status="running", finished_at=None)
        run.refresh_from_db()
    assert describe_start(run) == text
    assert (describe_run(run)["start"], describe_run(run)["started_from"]) == (text, started)
