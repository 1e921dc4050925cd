from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rl_training.core.evaluation.backtest import run_backtest
from rl_training.core.evaluation.references import rule_targets
from rl_training.core.run.walk_forward.folds import plan_folds
from rl_training.core.run.walk_forward.stitching import follow_folds, stitch
from rl_training.core.trading.accounting import open_accounts, trade_bar
from rl_training.core.trading.observation import Observer
from tests.core.evaluation.test_backtest import OnlyPredict
from tests.core.run.walk_forward.cases import FOLDS, MARKET, RECIPE, policies, stitched

RULES = RECIPE.environment


def column(name):
    found = stitched()
    return found.backtest.accounts([found.names.index(name)])


def followed(target_of):
    """Return the equity, costs and turnover of an account that is traded bar by bar to the targets."""
    accounts, equity, costs, turnovers = open_accounts(1), [1.0], [], []
    for bar in range(FOLDS[0].begin - 1, len(MARKET) - 1):
        target = np.array([target_of(bar, accounts)])
        prices = MARKET.open[bar + 1 : bar + 2], MARKET.close[bar + 1 : bar + 2]
        accounts, outcome = trade_bar(accounts, target, *prices, RULES)
        equity.append(accounts.equity[0])
        costs.append(outcome.cost[0])
        turnovers.append(outcome.turnover[0])
    return equity, costs, turnovers


def decisions_of(trained_by_fold):
    """Return the decision at a bar by the fold that trades the next bar, observed on the whole market."""
    observers = [Observer(MARKET, RULES, trained.statistics) for trained in trained_by_fold]

    def decide(bar, accounts):
        [fold] = [fold for fold in FOLDS if fold.begin <= bar + 1 < fold.end]
        observation = observers[fold.number].observe(np.array([bar]), accounts)
        return RULES.positions[trained_by_fold[fold.number].policy.predict(observation)[0]]

    return decide


def assert_same(backtest, expected):
    for field, values in zip(("equity", "cost", "turnover"), expected, strict=True):
        assert getattr(backtest, field)[:, 0].tolist() == values, field


def test_account_equals_one_that_follows_the_policies_bar_by_bar():
    backtest = column("walk_forward")
    assert_same(backtest, followed(decisions_of(policies())))
    # The account trades and its folds decide differently, so that the comparison shows something.
    assert np.count_nonzero(backtest.turnover) > 5
    assert not np.array_equal(backtest.equity, column("trained_once").equity)


def test_trained_once_follows_the_first_version_throughout():
    assert_same(column("trained_once"), followed(decisions_of([policies()[0]] * 3)))


@pytest.mark.parametrize("member", [1, 2])
def test_each_member_has_an_account_of_its_own(member):
    members = [replace(trained, policy=trained.policy.members[member - 1]) for trained in policies()]
    assert_same(column(f"member_{member}"), followed(decisions_of(members)))


@pytest.mark.parametrize(
    "rule", ["buy_and_hold", "flat", "last_return_followed", "last_return_opposed", "last_20_bars_followed"]
)
def test_rules_trade_the_same_bars(rule):
    targets = rule_targets(MARKET, RULES)[rule]
    assert_same(column(rule), followed(lambda bar, accounts: targets[bar]))


def test_each_bar_from_the_first_fold_on_is_traded_exactly_once():
    traded = [bar for fold in FOLDS for bar in range(fold.begin, fold.end)]
    assert traded == list(range(FOLDS[0].begin, 300))
    found = stitched()
    assert len(found.backtest.cost) == len(traded) == len(found.timestamps) - 1
    assert found.timestamps[0] == MARKET.timestamp[FOLDS[0].begin - 1]
    assert found.timestamps[-1] == MARKET.timestamp[-1]
    # An account whose equity changes with every bar's close.
    held = column("buy_and_hold").equity[1:, 0]
    assert held / held[0] == pytest.approx(MARKET.close[FOLDS[0].begin :] / MARKET.close[FOLDS[0].begin])


def test_buy_and_hold_pays_for_one_trade_in_all_folds():
    assert np.count_nonzero(column("buy_and_hold").turnover) == 1


def test_folds_divide_the_account():
    found, parts = stitched(), [stitched().of_fold(fold) for fold in FOLDS]
    assert [len(part.cost) for part in parts] == [fold.end - fold.begin for fold in FOLDS]
    for before, after in pairwise(parts):
        assert np.array_equal(before.equity[-1], after.equity[0])
    assert np.array_equal(parts[-1].equity[-1], found.backtest.equity[-1])


def test_finished_folds_have_the_same_account_without_later_ones():
    early = stitch(MARKET, RULES, policies(2))
    assert early.names == stitched().names
    assert np.array_equal(early.backtest.equity, stitched().backtest.equity[: len(early.backtest.equity)])


def test_bars_after_a_decision_do_not_change_the_account_before():
    early = stitch(MARKET[: FOLDS[1].end], RULES, policies(2))
    assert np.array_equal(early.backtest.equity, stitched().backtest.equity[: len(early.backtest.equity)])


def test_policies_without_compiled_code_have_the_same_account():
    hidden: list[Any] = [OnlyPredict(trained.policy) for trained in policies()]
    slow = [replace(trained, policy=policy) for trained, policy in zip(policies(), hidden, strict=True)]
    assert np.array_equal(follow_folds(MARKET, RULES, slow).equity, column("walk_forward").equity)


def test_versions_of_one_member_have_no_member_account():
    single = [replace(trained, policy=trained.policy.members[0]) for trained in policies()]
    found = stitch(MARKET, RULES, single)
    assert found.members == ()
    assert np.array_equal(found.backtest.equity[:, 0], column("member_1").equity[:, 0])


def test_account_of_one_fold_is_a_backtest():
    [fold] = plan_folds(300, RULES, folds=1)
    trained = policies()[0]
    backtest = follow_folds(MARKET, RULES, [replace(trained, fold=fold)])
    bars = MARKET[fold.begin - 1 - 5 :]
    alone = run_backtest(trained.policy, bars, RULES, Observer(bars, RULES, trained.statistics))
    assert np.array_equal(backtest.equity, alone.equity)


def test_folds_that_are_not_the_first_ones_are_refused():
    with pytest.raises(ValueError, match="not the first ones"):
        stitch(MARKET, RULES, policies()[1:])
