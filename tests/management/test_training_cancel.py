from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from rl_training.models import TrainingRun
from tests.active_runs import claimed_run, queued_run
from tests.validations import store_validation

pytestmark = pytest.mark.django_db


def cancelled(run_id: str, capsys: pytest.CaptureFixture[str]) -> str:
    call_command("training_cancel", run_id)
    return capsys.readouterr().out


def test_queued_run_is_cancelled_at_once(policy, capsys):
    run = queued_run(policy)
    assert cancelled(run.run_id, capsys) == f"Run {run.run_id} is cancelled.\n"
    with pytest.raises(CommandError, match=f"run {run.run_id} has ended already: cancelled"):
        call_command("training_cancel", run.run_id)


def test_running_run_ends_after_its_iteration(policy, capsys):
    run = claimed_run(policy)
    assert cancelled(run.run_id, capsys) == f"Run {run.run_id} ends after its present iteration.\n"


def test_walk_forward_is_cancelled_by_its_id(policy, capsys):
    validation = store_validation(policy)
    assert cancelled(validation.validation_id, capsys) == f"Validation {validation} is cancelled.\n"
    with pytest.raises(CommandError, match=f"validation {validation} has ended already: cancelled"):
        call_command("training_cancel", validation.validation_id)


def test_unknown_run_is_refused(capsys):
    with pytest.raises(CommandError, match="there is no run 0123456789ab"):
        call_command("training_cancel", "0123456789ab")


@pytest.mark.parametrize("command", ["training_cancel", "replay_run"])
def test_run_id_whose_bytes_are_no_text_is_unknown(command):
    with pytest.raises(
        CommandError, match=r"^there is no run \\udcff\\x1b; training_status lists the latest$"
    ) as error:
        call_command(command, "\udcff\x1b")
    assert error.value.returncode == 2


def test_run_with_a_dead_worker_ends_when_the_worker_is_lost(policy, capsys):
    run = claimed_run(policy)
    TrainingRun.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=20))
    assert cancelled(run.run_id, capsys) == (
        f"Run {run.run_id} ends when its worker counts as lost, within 15 s: no heartbeat for 20 s.\n"
    )
