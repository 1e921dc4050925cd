"""Challengers: arms beside the live version and its references, each with an exact account."""

from datetime import timedelta

import pytest

from rl_training.core.evaluation.references import rule_targets
from rl_training.decisions.accounts import accounts_of
from rl_training.decisions.challengers import ArmRefusedError, UnknownArmError, end_arm, open_arm
from rl_training.models import Arm, PolicyStore, PolicyVersion
from rl_training.validation.gate import recipe_of
from tests.decisions.growing import HISTORY, assert_replays, decisions, live_arm, set_up
from tests.stored import deploy
from tests.weights import stored_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def challenge(policy, growing, versions):
    """Make version 1 live, and return a function that opens a challenger of the policy."""
    deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round()

    def opened(text):
        return open_arm(policy, text, by="admin", now=growing.now)[0]

    return opened


def made_by_recipe(policy: PolicyStore, number: int, at) -> PolicyVersion:
    """Store a version of the policy's present recipe that was made at a time."""
    version = stored_version(policy, number)
    version.run.recipe = recipe_of(policy)
    version.run.save(update_fields=["recipe"])
    PolicyVersion.objects.filter(pk=version.pk).update(created_at=at)
    return version


def test_pinned_version_decides_as_if_it_were_live(policy, growing, versions, challenge, change):
    pinned = challenge("rl_v3:2")
    growing.grow(4)
    change("promote", versions[1])
    growing.grow(4)
    found = decisions(pinned)
    assert {row.version for row in found} == {versions[1]}
    assert found[0].note == "The account opens. Opened by admin."
    assert (found[0].deployment, found[-1].deployment) == (None, None)
    assert len({row.target_position for row in found}) > 1
    assert_replays(policy)


def test_newest_version_of_the_recipe_decides_from_its_creation_on(policy, growing, challenge):
    newest = challenge("newest")
    growing.grow()
    made_by_recipe(policy, 3, growing.now + timedelta(minutes=30))
    stored_version(policy, 4)
    growing.grow(2)
    found = decisions(newest)
    assert [row.version and row.version.number for row in found] == [None, 3, 3]
    assert [row.note for row in found[1:]] == ["Version 3 decides.", ""]
    assert PolicyVersion.objects.get(number=3) in PolicyVersion.objects.kept_for_good()
    assert_replays(policy)


def test_late_bar_is_decided_by_the_version_that_was_newest_at_its_close(policy, growing, challenge):
    newest = challenge("newest")
    first = growing.closes(growing.shown)
    made_by_recipe(policy, 3, first)
    made_by_recipe(policy, 4, first + timedelta(minutes=1))
    growing.append(2)
    growing.round()
    assert [row.version and row.version.number for row in decisions(newest)] == [3, 4]
    assert_replays(policy)


@pytest.mark.parametrize("rule", ["last_return_followed", "last_return_opposed", "last_20_bars_followed"])
def test_sign_rule_holds_the_sign_of_the_return(policy, growing, challenge, rule):
    arm = challenge(rule)
    growing.grow(6)
    market = growing.market[: growing.shown]
    assert policy.environment.positions == [-1.0, 0.0, 1.0]
    expected = rule_targets(market, policy.environment)[rule][HISTORY - 1 :]
    found = [row.target_position for row in decisions(arm)]
    assert found == expected[-len(found) :].tolist()
    assert_replays(policy)


def test_other_recipe_trades_at_the_costs_of_the_policy(policy, growing, challenge):
    other = PolicyStore.objects.create(name="other", enabled=False)
    set_up(other)
    made_by_recipe(other, 1, growing.now - timedelta(hours=1))
    arm = challenge("newest:other")
    growing.grow(3)
    assert (arm.name, arm.title) == ("newest:other", "newest version of the recipe of other")
    assert {str(row.version) for row in decisions(arm)} == {"other version 1"}
    assert arm.rules == live_arm(policy).rules
    assert_replays(policy)


def test_challenger_of_a_policy_without_live_version_opens_all_arms(policy, growing, versions):
    open_arm(policy, "rl_v3:1", by="admin", now=growing.now)
    growing.round()
    growing.grow(2)
    assert [account.arm.name for account in accounts_of(policy)] == ["live", "flat", "buy_and_hold", "rl_v3:1"]
    assert {row.target_position for row in decisions(live_arm(policy))} == {0.0}
    assert_replays(policy)


def test_arm_is_open_once_and_can_be_opened_again_after_its_end(policy, growing, challenge):
    arm = challenge("newest")
    assert challenge("newest") == arm
    growing.grow()
    end_arm(arm, by="anna", now=growing.now)
    growing.grow()
    assert Arm.objects.get(pk=arm.pk).ending == "Ended by anna."
    assert arm.decisions.count() == 1
    assert challenge("newest") != arm
    assert_replays(policy)


def test_challengers_end_with_the_costs_and_do_not_open_anew(policy, growing, challenge):
    arm = challenge("last_return_opposed")
    growing.grow()
    policy.environment = policy.environment.model_copy(update={"fee": 0.002})
    policy.save_settings("environment")
    growing.grow()
    assert Arm.objects.get(pk=arm.pk).ending == "The policy's fee changed."
    assert [account.arm.name for account in accounts_of(policy, ended=False)] == ["live", "flat", "buy_and_hold"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "'nothing' names no version"),
        ("newest:nobody", "There is no policy nobody."),
        ("rl_v3:9", "There is no version 9 of a policy rl_v3."),
    ],
)
def test_unknown_arm_is_refused(challenge, text, message):
    with pytest.raises(UnknownArmError, match=message):
        challenge(text)


def test_arm_of_another_market_is_refused(policy, challenge):
    other = PolicyStore.objects.create(name="other", enabled=False)
    for refused in ("newest:other", f"other:{stored_version(other, 1).number}"):
        with pytest.raises(ArmRefusedError, match="other is of another market than rl_v3."):
            challenge(refused)


def test_version_without_weights_is_refused(policy, growing, versions, challenge):
    PolicyVersion.objects.filter(pk=versions[1].pk).update(weights_removed_at=growing.now)
    with pytest.raises(ArmRefusedError, match="The weights of rl_v3 version 2 were removed."):
        challenge("rl_v3:2")


def test_arm_that_every_policy_has_cannot_be_ended(policy, growing, challenge):
    with pytest.raises(ArmRefusedError, match="only challengers can be ended"):
        end_arm(live_arm(policy), by="anna", now=growing.now)


def test_unreadable_challenger_waits_and_the_others_decide_on(policy, growing, challenge, versions, artifact_root):
    arm = challenge("rl_v3:2")
    (artifact_root / versions[1].artifact / "policy.safetensors").rename(artifact_root / "away")
    growing.append(230)
    growing.round()
    assert (arm.decisions.count(), live_arm(policy).decisions.count()) == (0, 231)
    (artifact_root / "away").rename(artifact_root / versions[1].artifact / "policy.safetensors")
    growing.rounds._retry_at.clear()
    growing.grow()
    assert live_arm(policy).decisions.count() == 232
    assert_replays(policy)
