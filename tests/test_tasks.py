from types import SimpleNamespace

import pytest
from celery.signals import task_revoked

from rl_training import tasks
from rl_training.models import TrainingRun
from tests.active_runs import claimed_run, queued_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("make_run", "status", "requested"), [(queued_run, "cancelled", False), (claimed_run, "running", True)]
)
def test_run_whose_task_is_revoked_is_cancelled(policy, streams, make_run, status, requested):
    run = make_run(policy)
    task_revoked.send(sender=tasks.train_policy, request=SimpleNamespace(id=run.run_id))
    run.refresh_from_db()
    assert (run.status, run.cancel_requested_at is not None) == (status, requested)


def test_message_for_a_run_that_is_not_queued_does_nothing(policy, streams):
    run = claimed_run(policy)
    tasks.train_policy(run.run_id)
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("running", 1)
    assert TrainingRun.objects.count() == 1
