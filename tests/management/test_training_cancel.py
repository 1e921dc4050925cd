import pytest
from django.core.management import CommandError, call_command

from rl_training.models import TrainingRun
from rl_training.runs import lifecycle

pytestmark = pytest.mark.django_db


def cancelled(run_id, capsys) -> str:
    call_command("training_cancel", run_id)
    return capsys.readouterr().out


def test_a_queued_run_is_cancelled_at_once(policy, capsys):
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False)
    assert cancelled(run.run_id, capsys) == f"Run {run.run_id} is cancelled.\n"
    with pytest.raises(CommandError, match=f"run {run.run_id} has ended already: cancelled"):
        call_command("training_cancel", run.run_id)


def test_a_running_run_is_asked_to_end(policy, capsys):
    run = lifecycle.claim(lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False).run_id)
    assert cancelled(run.run_id, capsys) == f"Run {run.run_id} ends after its present iteration.\n"


def test_an_unknown_run_is_said(capsys):
    with pytest.raises(CommandError, match="there is no run 0123456789ab"):
        call_command("training_cancel", "0123456789ab")
