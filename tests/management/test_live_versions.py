"""The commands about what is live."""

import json
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from rl_training.models import Deployment, Proposal
from tests.dashboard.pages.page_rows import version_of
from tests.stored import deploy, finished_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def versions(policy):
    return [version_of(finished_run(policy), number) for number in (1, 2)]


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns its output."""

    def printed(*arguments):
        call_command(*arguments)
        return capsys.readouterr().out.strip()

    return printed


def refused(*arguments):
    with pytest.raises(CommandError) as error:
        call_command(*arguments)
    return error.value.returncode, str(error.value)


def test_accounts_of_a_policy_without_any_say_when_one_opens(policy, run):
    assert run("policy_accounts", "rl_v3").startswith("There is no paper account: one opens when ")
    assert run("policy_accounts", "rl_v3", "--json") == ""


def test_promotion_pin_rollback_unpin_and_flat_are_commands(run, versions, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "anna")
    sentence = run("policy_promote", "rl_v3", "1", "--reason", "It earns more")
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert re.fullmatch(f"Version 1 is live since {time}, promoted by a command \\(anna\\): It earns more\\.", sentence)
    assert run("policy_promote", "rl_v3", "2", "--pin", "--reason", "Keep it.").endswith("It is pinned.")
    assert "Version 1 is live since" in run("policy_rollback", "rl_v3", "--reason", "It loses.")
    assert "It is pinned" not in run("policy_unpin", "rl_v3", "--reason", "Go on.")
    assert run("policy_promote", "rl_v3", "flat", "--reason", "Holidays.").startswith("Nothing is live since")
    assert "Version 2 is live since" in run("policy_rollback", "rl_v3", "--to", "2", "--reason", "Back.")
    assert [one.action for one in Deployment.objects.order_by("at")] == [
        *("promote", "pin", "roll_back", "unpin", "go_flat", "roll_back")
    ]


def test_live_version_is_printed_for_now_and_for_a_time(run, versions):
    assert run("policy_live", "rl_v3") == "Nothing is live: no version was ever promoted."
    first = deploy(versions[0])
    deploy(versions[1], at=first.at + timedelta(days=1))
    assert run("policy_live", "rl_v3").startswith("Version 2 is live since")
    at = first.at + timedelta(hours=1)
    assert run("policy_live", "rl_v3", "--at", f"{at:%Y-%m-%dT%H:%M:%S}").startswith("Version 1 is live since")
    found = json.loads(run("policy_live", "rl_v3", "--at", at.isoformat(), "--json"))
    assert (found["version"], found["reason"], found["deployment"]) == (1, "It is the best one.", first.pk)
    before = json.loads(run("policy_live", "rl_v3", "--at", "2001-01-01", "--json"))
    assert (before["version"], before["since"]) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("policy_promote", "rl_v3", "1", "--reason", "Again."), 1, "Version 1 of rl_v3 is live."),
        (("policy_promote", "rl_v3", "2", "--reason", " "), 1, "A reason is required"),
        (("policy_promote", "rl_v3", "7", "--reason", "x"), 2, "rl_v3 has no version '7'"),
        (("policy_promote", "rl_v3", "x", "--reason", "x"), 2, "rl_v3 has no version 'x'"),
        (("policy_promote", "rl_v3", "flat", "--pin", "--reason", "x"), 2, "--pin goes with a version"),
        (("policy_promote", "nobody", "1", "--reason", "x"), 2, "unknown policy 'nobody'"),
        (("policy_rollback", "rl_v3", "--reason", "x"), 1, "no earlier deployment with another target"),
        (("policy_unpin", "rl_v3", "--reason", "x"), 1, "rl_v3 is not pinned."),
        (("policy_live", "rl_v3", "--at", "noon"), None, "'noon' is no time"),
    ],
)
def test_refused_command_says_why(versions, arguments, status, message):
    deploy(versions[0])
    found = refused(*arguments)
    assert message in found[1]
    assert status in (None, found[0])
    assert Deployment.objects.count() == 1


def test_command_proposes_where_two_users_are_needed(versions, settings):
    settings.PROMOTION_NEEDS_TWO = True
    status, message = refused("policy_promote", "rl_v3", "2", "--reason", "It earns more.")
    proposal = Proposal.objects.get()
    assert (status, proposal.actor, proposal.proposer) == (3, "command", None)
    assert f"Proposal {proposal.pk} waits" in message
    assert not Deployment.objects.exists()
