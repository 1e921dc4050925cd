"""One account through all folds of a walk-forward, and the accounts that it is compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import numpy.typing as npt

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.backtest import POLICY, Backtest, one_after_another, run_backtest, side_by_side
from rl_training.core.evaluation.references import rule_targets
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.run.walk_forward.fold_training import FoldPolicy
from rl_training.core.run.walk_forward.folds import Fold, check_consecutive
from rl_training.core.run.walk_forward.leaks import check_fold
from rl_training.core.run.walk_forward.verdict import TRAINED_ONCE, WALK_FORWARD
from rl_training.core.trading.accounting import FloatArray, open_accounts
from rl_training.core.trading.features import longest_window
from rl_training.core.trading.observation import Observer
from rl_training.core.words import count_of


@dataclass(frozen=True)
class Stitched:
    """The accounts of a walk-forward on the same bars with the same costs. N are the accounts, in the order of names.

    names       walk_forward, which follows each fold's policy in turn; buy_and_hold, flat and the sign rules, as in
                Evaluation; trained_once, which follows the first fold's policy throughout; and, for versions of several
                members, member_1 and so on, each of which follows one member of each fold's policy
    backtest    [bars, N], and equity [bars + 1, N]; bar 0 is the first bar that the first fold trades
    folds       the folds that are traded
    timestamps  of the closes, [bars + 1]; the first close is that of the first decision
    """

    names: tuple[str, ...]
    backtest: Backtest
    folds: tuple[Fold, ...]
    timestamps: npt.NDArray[np.datetime64]
    annualisation: float

    @property
    def references(self) -> tuple[str, ...]:
        """The names of the accounts that the walk-forward is compared with."""
        return tuple(name for name in self.names if name != WALK_FORWARD and not name.startswith("member_"))

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the members' accounts; none for versions of one member."""
        return tuple(name for name in self.names if name.startswith("member_"))

    @property
    def changes(self) -> FloatArray:
        """The change of log equity in each bar, [bars, N]."""
        return np.diff(np.log(self.backtest.equity), axis=0)

    def of_fold(self, fold: Fold) -> Backtest:
        """Return the part of the backtest in which `fold` is traded."""
        first = self.folds[0].begin
        return self.backtest.bars(fold.begin - first, fold.end - first)


def stitch(
    market: MarketData,
    environment: EnvironmentConfig,
    folds: Sequence[FoldPolicy],
    on_progress: Callable[[], None] = lambda: None,
) -> Stitched:
    """Trade the bars of all folds, each once, by one account that carries its position from fold to fold.

    folds        the first folds of a walk-forward in their order, for example those that are trained so far. The result
                 for their bars does not depend on later folds
    on_progress  called repeatedly

    A policy's observation is standardised by the statistics of its fold; its first decision sees the features of the
    bars before the fold. Raises LeakError if a fold knows later bars, ValueError if the folds are not consecutive, and
    MarketDataError where equity exceeds what a float64 holds.
    """
    check_consecutive([trained.fold for trained in folds])
    for trained in folds:
        check_fold(market, environment, trained.fold, trained.statistics, trained.trained_until)
        on_progress()
    rules = rule_targets(market, environment)
    followed = {WALK_FORWARD: folds, TRAINED_ONCE: [replace(folds[0], fold=trained.fold) for trained in folds]}
    members = [trained.policy.members for trained in folds]
    if len(members[0]) > 1:
        for number, of_folds in zip(count(1), zip(*members, strict=True)):
            followed[f"member_{number}"] = [
                replace(trained, policy=member) for trained, member in zip(folds, of_folds, strict=True)
            ]
    accounts: dict[str, Backtest] = {}
    for name, policies in followed.items():
        backtest = follow_folds(market, environment, policies, list(rules.values()), on_progress)
        accounts[name] = backtest.accounts([POLICY])
        # The accounts of the rules do not depend on the policy.
        accounts |= {rule: backtest.accounts([number]) for number, rule in enumerate(rules, start=POLICY + 1)}
        rules = {}
    first, last = folds[0].fold.begin, folds[-1].fold.end
    return Stitched(
        names=tuple(accounts),
        backtest=side_by_side(list(accounts.values())),
        folds=tuple(trained.fold for trained in folds),
        timestamps=market.timestamp[first - 1 : last],
        annualisation=market[first - 1 : last].bars_per_year,
    )


def follow_folds(
    market: MarketData,
    environment: EnvironmentConfig,
    folds: Sequence[FoldPolicy],
    rules: Sequence[FloatArray] = (),
    on_progress: Callable[[], None] = lambda: None,
) -> Backtest:
    """Return the backtest of one account that follows each fold's policy on the fold's bars.

    Further accounts follow the rules: target positions after each bar of `market`, [T].
    """
    window, accounts, parts = longest_window(environment.features), open_accounts(1 + len(rules)), []
    for trained in folds:
        bars, begin = trained.fold.traded(market, window), trained.fold.begin - 1 - window
        observer = Observer(bars, environment, trained.statistics)
        targets = [rule[begin : trained.fold.end] for rule in rules]
        parts.append(run_backtest(trained.policy, bars, environment, observer, targets, on_progress, accounts))
    backtest = one_after_another(parts)
    beyond = ~np.isfinite(backtest.equity).all(axis=1)
    if beyond.any():
        raise MarketDataError(
            f"walk-forward: after {count_of(int(beyond.argmax()), 'bar')} equity is more than a number can hold; "
            "take smaller positions"
        )
    return backtest
