from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.models import TrainingRun
from rl_training.runs import lifecycle
from rl_training.runs.cancelling import how_it_ends, how_it_ends_at
from tests.active_runs import claimed_run, queued_run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "ends after its present iteration"),
        (6, "ends after its present iteration"),
        (12, "ends when its worker counts as lost, within 23 s: no heartbeat for 12 s"),
        (29.5, "ends when its worker counts as lost, within 6 s: no heartbeat for 30 s"),
        (300, "ends when its worker counts as lost, at beat's next housekeeping: no heartbeat for 300 s"),
    ],
)
def test_end_of_a_cancelled_run_depends_on_its_last_heartbeat(seconds, text):
    assert how_it_ends_at(None if seconds is None else timedelta(seconds=seconds)) == text


def test_cancelled_run_with_a_dead_worker_ends_when_the_worker_is_lost(policy):
    run = claimed_run(policy)
    TrainingRun.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=20.3))
    lifecycle.cancel(run)
    assert how_it_ends(run) == "ends when its worker counts as lost, within 15 s: no heartbeat for 20 s"


def test_cancelled_queued_run_has_ended(policy):
    run = queued_run(policy)
    lifecycle.cancel(run)
    assert how_it_ends(run) == "is cancelled"
