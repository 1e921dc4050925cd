"""Work in which each statement fails once, as in a database outage, ends as without an outage."""

import pytest
from django.db import OperationalError, connection

from rl_training.models import Comparison, PolicyVersion, TrainingRun
from rl_training.runs import lifecycle
from rl_training.versions import comparisons
from rl_training.worker import comparing, database_retry, validating
from rl_training.worker.execution import execute
from tests.active_runs import claim, claim_comparison
from tests.validations import claim_next, queued_steps, request_validation
from tests.validations import small_policy as validated_policy
from tests.weights import stored_version

# Each test commits, as a worker does.
pytestmark = pytest.mark.django_db(transaction=True)


class Outage:
    """Fails each statement of this thread once, those of savepoints excepted; `failed` has the statements."""

    def __init__(self):
        self.failed = set()

    def __call__(self, execute, sql, *arguments):
        # Each savepoint has another name.
        if sql not in self.failed and "SAVEPOINT" not in sql:
            self.failed.add(sql)
            raise OperationalError("the database is away")
        return execute(sql, *arguments)


@pytest.fixture
def outage(monkeypatch):
    monkeypatch.setattr(database_retry, "PAUSE_SECONDS", 0.0)
    return Outage()


def never():
    return False


def test_run_succeeds_in_its_first_attempt(small_policy, outage):
    small_policy.start_from = "newest"
    small_policy.save_settings()
    for seed in (1, 2):
        run = claim(lifecycle.enqueue(small_policy, TrainingRun.Trigger.COMMAND, seed=seed))
        with connection.execute_wrapper(outage):
            execute(run, never)
    found = TrainingRun.objects.latest("pk")
    assert (found.status, found.error, found.attempt) == ("succeeded", "", 1)
    assert found.version.parent == PolicyVersion.objects.get(number=1)
    assert outage.failed


def test_validation_succeeds_with_the_first_attempt_of_each_step(db, outage):
    validation = request_validation(validated_policy(), folds=2, seed=5)
    while queued_steps(validation):
        step = claim_next(validation)
        with connection.execute_wrapper(outage):
            validating.execute(step, never)
    validation.refresh_from_db()
    assert (validation.status, validation.error) == ("succeeded", "")
    assert set(validation.steps.values_list("attempt", flat=True)) == {1}
    assert outage.failed


def test_comparison_succeeds_in_its_first_attempt(policy, outage):
    versions = [stored_version(policy, number) for number in (1, 2)]
    comparison = claim_comparison(comparisons.request(versions, send_message=False))
    with connection.execute_wrapper(outage):
        comparing.execute(comparison, never)
    found = Comparison.objects.get()
    assert (found.status, found.error, found.attempt) == ("succeeded", "", 1)
    assert outage.failed
