"""Backtest of several accounts on one market: one follows a policy, the others follow rules.

A policy can be any object with `predict`. A small enough network runs in compiled code, which is about fifty times as
fast. Both ways call the same accounting and observation functions, and give the same results to the bit.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled
from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.ppo import policy as trained
from rl_training.core.ppo.compiled_networks import Floats
from rl_training.core.ppo.compiled_policy import CompiledPolicy, allocate_decisions, decide
from rl_training.core.ppo.compiling import can_compile, compile_policy
from rl_training.core.ppo.ensemble import AnyPolicy, Ensemble
from rl_training.core.trading.accounting import (
    COST,
    EQUITY,
    REWARD,
    TURNOVER,
    UNITS,
    Accounts,
    FloatArray,
    Rates,
    cost_rates,
    open_accounts,
    trade_bar,
    trade_bar_into,
)
from rl_training.core.trading.observation import Observer, fill_in

# The first account follows the policy.
POLICY = 0

# Compiled code reports no progress, so each call makes at most this many decisions of members, and then returns. With
# the largest network that compiled code runs, they take a few seconds. The overhead of a call is that of a few bars.
BARS_PER_CALL = 4096


class Policy(Protocol):
    """A policy that a backtest can follow."""

    def predict(
        self, observations: npt.NDArray[np.float32], deterministic: bool = True
    ) -> npt.NDArray[np.integer[Any]]:
        """Return actions, [N], for observations, [N, D]."""
        ...


class Backtest(NamedTuple):
    """Results of N accounts; every field is [bars, N], except equity, [bars + 1, N]."""

    equity: FloatArray  # at each close, from the close of the first decision on
    cost: FloatArray
    turnover: FloatArray
    held: npt.NDArray[np.bool_]  # whether a position was held through the bar, or was ruined during it

    def accounts(self, numbers: Sequence[int]) -> "Backtest":
        """Return the accounts with these numbers."""
        chosen = list(numbers)
        others = self.cost[:, chosen], self.turnover[:, chosen], self.held[:, chosen]
        return Backtest(self.equity[:, chosen], *others)

    def bars(self, begin: int, end: int) -> "Backtest":
        """Return the bars from `begin` to `end`."""
        return Backtest(
            self.equity[begin : end + 1], self.cost[begin:end], self.turnover[begin:end], self.held[begin:end]
        )


def side_by_side(backtests: Sequence[Backtest]) -> Backtest:
    """Return the accounts of all backtests, which have the same bars."""
    return Backtest(
        np.concatenate([backtest.equity for backtest in backtests], axis=1),
        np.concatenate([backtest.cost for backtest in backtests], axis=1),
        np.concatenate([backtest.turnover for backtest in backtests], axis=1),
        np.concatenate([backtest.held for backtest in backtests], axis=1),
    )


def one_after_another(backtests: Sequence[Backtest]) -> Backtest:
    """Return the bars of all backtests, each of which continues the accounts of the previous backtest."""
    return Backtest(
        np.concatenate([backtests[0].equity[:1], *(backtest.equity[1:] for backtest in backtests)]),
        np.concatenate([backtest.cost for backtest in backtests]),
        np.concatenate([backtest.turnover for backtest in backtests]),
        np.concatenate([backtest.held for backtest in backtests]),
    )


class TradedBars(NamedTuple):
    """A market and its observations, for compiled code; the arrays are [T, ...]."""

    rows: Floats  # [T, D], as in Observer
    width: int
    largest_position: float
    first: int  # bar of the first decision
    open: FloatArray
    close: FloatArray


def traded_bars(observer: Observer, market: MarketData) -> TradedBars:
    """Return the bars of the market that `observer` was made for."""
    seen = observer.rows, observer.width, observer.largest_position, observer.first_bar
    return TradedBars(*seen, market.open, market.close)


def run_backtest(
    policy: Policy,
    market: MarketData,
    config: EnvironmentConfig,
    observer: Observer,
    rules: Sequence[FloatArray] = (),
    on_bars: Callable[[], None] = lambda: None,
    accounts: Accounts | None = None,
) -> Backtest:
    """Trade from the first bar with a full feature window to the last bar.

    The first account follows the policy, each other one a rule: the target position after each bar, [T]. `observer`
    must have been made for the same market and config. The market needs at least one bar after the first decision.
    `on_bars` is called repeatedly, after at most BARS_PER_CALL bars.

    By default, new accounts trade. Given `accounts` continue with their positions, and hold the state after the last
    bar when the function returns.
    """
    bars, count = len(market) - 1 - observer.first_bar, 1 + len(rules)
    accounts = open_accounts(count) if accounts is None else accounts
    backtest = Backtest(
        equity=np.empty((bars + 1, count)),
        cost=np.empty((bars, count)),
        turnover=np.empty((bars, count)),
        held=np.empty((bars, count), np.bool_),
    )
    backtest.equity[0] = accounts.equity
    # The policy's column is filled in as it decides.
    targets = np.stack([np.zeros(len(market)), *rules], axis=1)[observer.first_bar : -1]
    if isinstance(policy, trained.Policy | Ensemble) and can_compile(policy):
        _follow_network(policy, market, config, observer, targets, backtest, on_bars, accounts)
    else:
        _follow(policy, market, config, observer, targets, backtest, on_bars, accounts)
    return backtest


def _follow(
    policy: Policy,
    market: MarketData,
    config: EnvironmentConfig,
    observer: Observer,
    targets: FloatArray,
    backtest: Backtest,
    on_bars: Callable[[], None],
    state: Accounts,
) -> None:
    count, accounts = targets.shape[1], state
    for index, target in enumerate(targets):
        bar = observer.first_bar + index
        observation = observer.observe(np.array([bar]), accounts)
        target[POLICY] = config.positions[policy.predict(observation, deterministic=True)[0]]
        opened, closed = (np.full(count, prices[bar + 1]) for prices in (market.open, market.close))
        accounts, outcome = trade_bar(accounts, target, opened, closed, config)
        backtest.equity[index + 1] = accounts.equity
        backtest.cost[index] = outcome.cost
        backtest.turnover[index] = outcome.turnover
        backtest.held[index] = (accounts.units != 0) | (outcome.ruined & (outcome.reward != 0))
        on_bars()
    state.rows[:] = accounts.rows


def _follow_network(
    policy: AnyPolicy,
    market: MarketData,
    config: EnvironmentConfig,
    observer: Observer,
    targets: FloatArray,
    backtest: Backtest,
    on_bars: Callable[[], None],
    state: Accounts,
) -> None:
    bars = traded_bars(observer, market)
    compiled_policy, positions = compile_policy(policy), np.array(config.positions)
    rates, rows = cost_rates(config), state.rows.copy()
    bars_per_call = max(1, BARS_PER_CALL // len(policy.members))
    for begin in range(0, len(targets), bars_per_call):
        end = min(begin + bars_per_call, len(targets))
        rows = _follow_compiled(compiled_policy, positions, bars, targets, rates, backtest, begin, end, rows)
        on_bars()
    state.rows[:] = rows


@compiled
def _follow_compiled(
    policy: CompiledPolicy,
    positions: FloatArray,
    bars: TradedBars,
    targets: FloatArray,
    rates: Rates,
    backtest: Backtest,
    begin: int,
    end: int,
    accounts: FloatArray,
) -> FloatArray:
    """Trade the bars from `begin` to `end`, and return the rows of the accounts. Overwrites the given rows.

    Assigns number by number: to assign arrays, numba compiles code for the texts of errors, which takes seconds.
    """
    count = targets.shape[1]
    after = np.empty_like(accounts)
    outcome, ruined = np.empty((3, count)), np.empty(count, np.bool_)
    opened, closed = np.empty(count), np.empty(count)
    memory, action = allocate_decisions(policy, 1), np.empty(1, np.int64)
    for index in range(begin, end):
        bar = bars.first + index
        seen = bars.rows[bar : bar + 1].copy()
        # Only the first account, which is POLICY, is observed: `seen` has one row.
        fill_in(seen, bars.width, bars.largest_position, bars.close[bar : bar + 1], accounts)
        decide(policy, seen, memory, action)
        targets[index, POLICY] = positions[action[0]]
        opened[:], closed[:] = bars.open[bar + 1], bars.close[bar + 1]
        trade_bar_into(accounts, targets[index], opened, closed, rates, after, outcome, ruined)
        accounts, after = after, accounts
        for account in range(count):
            backtest.equity[index + 1, account] = accounts[EQUITY, account]
            backtest.cost[index, account] = outcome[COST, account]
            backtest.turnover[index, account] = outcome[TURNOVER, account]
            held = accounts[UNITS, account] != 0
            backtest.held[index, account] = held or (ruined[account] and outcome[REWARD, account] != 0)
    return accounts
