"""Comparisons of arms on new bars: each bar counts once, and a verdict promotes, ends the comparison or waits."""

import re
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from rl_training.core.evaluation.betting import new_bet
from rl_training.core.market.bars import MarketData
from rl_training.decisions.challengers import ArmRefusedError, end_arm
from rl_training.decisions.comparing import advancing
from rl_training.decisions.comparing.reports import answer, as_dict, estimate
from rl_training.decisions.comparing.requesting import Wanted, begin, cancel
from rl_training.decisions.process.rounds import Rounds
from rl_training.models import ArmComparison, Decision, Deployment, FollowedMarket, PolicyStore, Proposal, Trial
from tests.api_clients import user_of
from tests.decisions.growing import BARS, Growing, decisions, set_up
from tests.stored import store_raw
from tests.versions.conftest import change

__all__ = ["change"]
pytestmark = pytest.mark.django_db


def rising(steps=0.02):
    """Return a market that rises in every bar."""
    close = 100 * np.exp(steps * np.arange(len(BARS)))
    opened = close * np.exp(-steps / 2)
    return MarketData(BARS.timestamp, opened, close * 1.001, opened * 0.999, close, BARS.volume)


@pytest.fixture
def market(market_root, policy, versions):
    """A market that rises, on which nothing is live."""
    set_up(policy)
    growing = Growing(market_root, market=rising())
    deploy_flat(policy, growing)
    growing.round()
    growing.grow()
    return growing


def deploy_flat(policy, growing):
    at = growing.now - timedelta(days=1)
    columns = {"action": "go_flat", "actor": "user", "reason": "It is new."}
    return Deployment.objects.create(policy=policy, at=at, pinned=False, **columns)


def compare(policy, growing, a="live", b="buy_and_hold", **numbers):
    return begin(policy, Wanted(a, b, **numbers), by="admin", now=growing.now)


@pytest.mark.parametrize("config", [{"source": "file"}, [], {"source": "sp500"}])
def test_comparison_is_refused_when_the_arms_are_not_on_the_present_market(policy, market, config):
    store_raw(policy, "market", config)
    with pytest.raises(ArmRefusedError, match=r"The open arms are not on the present market of rl_v3\."):
        compare(PolicyStore.objects.get(pk=policy.pk), market)
    assert not Trial.objects.exists()


def grow_until_decided(growing, comparison, most=150):
    while comparison.status == "running" and comparison.bars < most:
        growing.grow()
        comparison.refresh_from_db()


def test_wealth_follows_the_bets_on_the_stored_equities(policy, growing, versions, change):
    change("promote", versions[0])
    growing.round()
    growing.grow(2)
    comparison = compare(policy, growing, b="rl_v3:2")
    growing.grow(8)
    comparison.refresh_from_db()
    a, b = ({row.bar_opened_at: row.equity for row in decisions(arm)} for arm in (comparison.a, comparison.b))
    times = [time for time in sorted(b) if time >= comparison.first_bar_at]
    bet = new_bet()
    for before, time in pairwise(times):
        bet = bet.after(float(np.log(b[time]) - np.log(b[before]) - (np.log(a[time]) - np.log(a[before]))))
    assert (comparison.bars, comparison.capped, len(times)) == (7, 0, 8)
    assert comparison.evidence == pytest.approx(bet.evidence, rel=1e-12)
    assert [row.evidence for row in comparison.compared_bars.all()][-1] == comparison.evidence
    assert advancing.recompute(comparison) == ""


def test_bars_before_the_request_do_not_count(policy, market):
    market.append(3)
    comparison = compare(policy, market)
    market.round()
    market.grow(2)
    comparison.refresh_from_db()
    assert (comparison.first_bar_at, comparison.bars) == (comparison.requested_at - timedelta(hours=1), 2)


def test_better_arm_ends_the_comparison_with_an_event(policy, market):
    comparison = compare(policy, market)
    grow_until_decided(market, comparison)
    assert (comparison.status, comparison.outcome) == ("better", "What is live stays: no version decides for B.")
    assert comparison.evidence >= comparison.threshold == 1 / comparison.trial.level
    assert comparison.ending.endswith("buy and hold is better than the live version.")
    assert comparison.event.event_type == "rl_v3.comparison.ended"
    assert comparison.event.payload["evidence"] == comparison.evidence
    market.grow(2)
    assert comparison.compared_bars.count() == comparison.bars
    assert advancing.recompute(comparison) == ""


def test_worse_arm_never_ends_the_comparison(policy, market):
    comparison = compare(policy, market, a="buy_and_hold", b="flat")
    market.grow(20)
    comparison.refresh_from_db()
    assert (comparison.status, comparison.bars) == ("running", 20)
    assert comparison.evidence < 1
    found = estimate(comparison)
    assert found.bars is None
    assert answer(comparison, found).endswith("At present flat does not gain on buy and hold.")


def test_loss_above_the_largest_ends_the_comparison(policy, market):
    comparison = compare(policy, market, a="buy_and_hold", b="flat", largest_loss=0.015)
    market.grow(3)
    comparison.refresh_from_db()
    assert (comparison.status, comparison.bars, comparison.evidence) == ("lost", 1, 0.0)
    assert comparison.ending == "In one bar flat lost more than 0.015 against buy and hold."


def test_gains_above_the_largest_loss_are_capped(policy, market):
    comparison = compare(policy, market, largest_loss=0.015)
    market.grow(4)
    comparison.refresh_from_db()
    assert comparison.capped == comparison.bars == 4


def test_estimate_says_how_many_more_bars_decide(policy, market):
    comparison = compare(policy, market)
    market.grow(11)
    comparison.refresh_from_db()
    more = as_dict(comparison)["expected_bars"]
    grow_until_decided(market, comparison)
    assert comparison.bars == pytest.approx(11 + more, abs=3)


@pytest.mark.parametrize(
    ("promotion", "outcome"),
    [
        ("validated", "Version 2 was promoted."),
        ("manual", r"Proposal \d+ to promote version 2 waits for a user."),
        ("newest", "What is live stays: the policy's promotion is newest."),
    ],
)
def test_verdict_follows_the_promotion_of_the_policy(policy, market, versions, promotion, outcome):
    policy.promotion = promotion
    policy.save_settings("promotion")
    comparison = compare(policy, market, b="rl_v3:2", floor=-0.1)
    grow_until_decided(market, comparison)
    assert comparison.status == "better"
    assert re.fullmatch(outcome, comparison.outcome)
    newest = Deployment.objects.filter(policy=policy).latest("at")
    proposals = Proposal.objects.filter(policy=policy, arm_comparison=comparison).count()
    if promotion == "validated":
        assert (newest.actor, newest.version, newest.arm_comparison) == ("gate", versions[1], comparison)
    else:
        assert (newest.version, proposals) == (None, int(promotion == "manual"))


def test_two_users_are_needed_with_promotion_needs_two(policy, market, settings):
    settings.PROMOTION_NEEDS_TWO = True
    user = user_of("operator")
    comparison = begin(policy, Wanted("live", "rl_v3:2", floor=-0.1), by="operator", now=market.now, user=user)
    grow_until_decided(market, comparison)
    assert comparison.outcome == "A proposal to promote version 2 waits for a second user."
    assert Proposal.objects.get(arm_comparison=comparison).proposer == user


def test_each_comparison_counts_as_a_trial_whatever_its_end(policy, market):
    comparison = compare(policy, market)
    assert cancel(comparison, by="anna", now=market.now)
    assert not cancel(comparison, by="anna", now=market.now)
    comparison.refresh_from_db()
    assert (comparison.status, comparison.ending) == ("ended", "Ended by anna.")
    again = compare(policy, market)
    assert [trial.kind for trial in Trial.objects.all()] == ["comparison", "comparison"]
    assert again.threshold == pytest.approx(4 * comparison.threshold)


def test_same_arms_are_compared_once_at_a_time(policy, market):
    comparison = compare(policy, market)
    with pytest.raises(ArmRefusedError, match=f"compared already: comparison {comparison}"):
        compare(policy, market)
    with pytest.raises(ArmRefusedError, match="cannot be compared with itself"):
        compare(policy, market, b="live")
    assert Trial.objects.count() == 1


@pytest.mark.parametrize("numbers", [{"largest_loss": 0.0}, {"largest_loss": float("nan")}, {"floor": 1.0}])
def test_numbers_out_of_range_are_refused(policy, market, numbers):
    with pytest.raises(ArmRefusedError, match=next(iter(numbers))):
        compare(policy, market, **numbers)
    assert Trial.objects.count() == 0


def test_arm_of_a_running_comparison_cannot_be_ended(policy, market):
    comparison = compare(policy, market, b="last_return_followed")
    with pytest.raises(ArmRefusedError, match="end the comparison first"):
        end_arm(comparison.b, by="anna", now=market.now)


def test_comparison_ends_with_its_arms(policy, market):
    comparison = compare(policy, market)
    policy.environment = policy.environment.model_copy(update={"fee": 0.002})
    policy.save_settings("environment")
    market.grow()
    comparison.refresh_from_db()
    assert comparison.status == "ended"
    assert comparison.ending == "The arm the live version has ended. The policy's fee changed."


def test_rounds_killed_before_their_comparison_are_caught_up(policy, market, monkeypatch):
    comparison = compare(policy, market)
    market.grow(2)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(advancing, "advance", killed)
        for _ in range(3):
            market.append()
            with pytest.raises(KeyboardInterrupt):
                market.round()
    market.rounds = Rounds()
    market.round()
    for _ in range(2):
        advancing.advance(FollowedMarket.objects.get(), market.now)
    comparison.refresh_from_db()
    assert comparison.bars == comparison.compared_bars.count() == 5
    assert advancing.recompute(comparison) == ""


@pytest.mark.parametrize("kept", [0, 2])
def test_arm_that_did_not_decide_for_many_bars_is_compared_again(policy, market, monkeypatch, kept):
    monkeypatch.setattr(advancing, "BARS_TOGETHER", 2)
    comparison = compare(policy, market)
    market.grow(kept)
    with monkeypatch.context() as patch:
        patch.setattr(advancing, "advance", lambda *_: 0)
        market.grow(8)
    missing = [row.pk for row in decisions(comparison.b)][-8:-2]
    Decision.objects.filter(pk__in=missing)._raw_delete("default")
    market.grow(1)
    comparison.refresh_from_db()
    assert comparison.bars == comparison.compared_bars.count() == kept + 3
    assert advancing.recompute(comparison) == ""


def test_changed_row_shows_when_recomputed(policy, market):
    comparison = compare(policy, market)
    market.grow(4)
    comparison.refresh_from_db()
    comparison.wealth[3] *= 1 + 1e-15
    assert advancing.recompute(comparison) == "wealth differ"


def test_recipes_of_two_policies_are_compared(policy, market):
    other = PolicyStore.objects.create(name="other", enabled=False)
    set_up(other)
    comparison = compare(policy, market, a="newest", b="newest:other")
    market.grow(3)
    comparison.refresh_from_db()
    assert (comparison.bars, comparison.evidence) == (2, 1.0)
    assert ArmComparison.objects.shown().get().b.title == "newest version of the recipe of other"
