"""The command `policy_decide`: the decision in force and one for an account, or why there is none."""

import json
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from rl_training.core.deciding import decision as core
from rl_training.decisions.answers import current
from rl_training.decisions.asked_account import AskedAccount
from rl_training.decisions.asking import decide_for
from rl_training.decisions.networks import NetworkError
from tests.decisions.growing import decisions, live_arm

pytestmark = pytest.mark.django_db


def output_of(*options):
    out = StringIO()
    call_command("policy_decide", "rl_v3", *options, stdout=out)
    return json.loads(out.getvalue())


def refusal(*options):
    with pytest.raises(CommandError) as error:
        output_of(*options)
    return error.value.returncode, str(error.value)


def test_command_prints_the_decision_in_force_and_one_for_an_account(policy, grow):
    grow(minutes=10)
    row = decisions(live_arm(policy))[0]
    assert output_of()["decision_id"] == str(row.decision_id)
    assert output_of("--account", "0", "0", "0")["observation_sha256"] == row.observation_sha256


def test_command_answers_no_old_decision(policy, grow):
    grow(hours=3)
    for options in ((), ("--account", "0", "0", "0")):
        status, message = refusal(*options)
        assert (status, message.startswith("stale-bars: The newest decided bar closed ")) == (1, True)


@pytest.mark.parametrize(
    ("account", "field"),
    [
        (("nan", "0", "0"), "position"),
        (("inf", "0", "0"), "position"),
        (("0", "1e300", "0"), "unrealised_log_return"),
        (("0", "0", "-3"), "drawdown"),
    ],
)
def test_impossible_account_is_wrong_usage(policy, grow, account, field):
    grow(minutes=10)
    status, message = refusal("--account", *account)
    assert (status, message.startswith(f"--account: {field}")) == (2, True)


def test_network_without_finite_probabilities_decides_for_no_caller(policy, grow, monkeypatch):
    def weigh(actor, rows, buffers, actions, probabilities):
        actions[:], probabilities[:] = 0, np.nan

    growing = grow(minutes=10)
    monkeypatch.setattr(core, "weigh", weigh)
    with pytest.raises(NetworkError, match="version 1 gives a probability or a value that is not finite"):
        decide_for(policy, AskedAccount(position=0.0, unrealised_log_return=0.0, drawdown=0.0), lambda: growing.now)
    assert current(policy, lambda: growing.now).decision.target_position in (-1.0, 0.0, 1.0)
