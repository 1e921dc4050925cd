"""Episodes on held-out bars, which a policy trades while it is being trained.

They show how held-out results diverge from training results, and select nothing. They draw no random numbers, so that a
run makes the same weights with and without them.
"""

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled
from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.backtest import TradedBars, traded_bars
from rl_training.core.market.bars import MarketData
from rl_training.core.ppo.compiled_policy import CompiledPolicy, allocate_decisions, decide
from rl_training.core.ppo.compiling import can_compile, compile_policy
from rl_training.core.ppo.ensemble import AnyPolicy
from rl_training.core.trading.accounting import (
    EQUITY,
    FloatArray,
    Rates,
    cost_rates,
    open_accounts,
    trade_bar,
    trade_bar_into,
)
from rl_training.core.trading.features import FeatureStatistics
from rl_training.core.trading.observation import Observer, fill_in


class HeldOutEpisodes:
    """Evenly spaced windows of held-out bars, traded at the same time by one account each.

    market      the held-out bars. The first decision has the longest feature window before it, the last one a bar after
    statistics  of the training bars
    decisions   the most decisions that one call of mean_reward() makes, in all windows together
    length      the most decisions in a window; a window has no more than `episode_length`, nor than the bars allow

    The windows overlap if there are few bars.
    """

    def __init__(
        self,
        market: MarketData,
        config: EnvironmentConfig,
        statistics: FeatureStatistics,
        *,
        decisions: int,
        length: int,
    ) -> None:
        self.market, self.config = market, config
        self.observer = Observer(market, config, statistics)
        first, available = self.observer.first_bar, len(market) - 1 - self.observer.first_bar
        self.length = max(1, min(length, config.episode_length, available, decisions))
        # There is at most one window for each first bar.
        windows = min(max(1, decisions // self.length), available - self.length + 1)
        self.starts = np.linspace(first, first + available - self.length, windows).round().astype(np.int64)

    def mean_reward(self, policy: AnyPolicy) -> float:
        """Return the mean log return of an episode of `episode_length` bars by the policy's most probable actions.

        Each window begins with a flat account. Its log return, costs included, is scaled to the length of an episode.
        """
        equity = self._follow_compiled(policy) if can_compile(policy) else self._follow(policy)
        return float(np.log(equity).mean()) * self.config.episode_length / self.length

    def _follow(self, policy: AnyPolicy) -> FloatArray:
        """Return the equity at the end of each window."""
        accounts, positions = open_accounts(len(self.starts)), np.array(self.config.positions)
        for bar in range(self.length):
            bars = self.starts + bar
            target = positions[policy.predict(self.observer.observe(bars, accounts))]
            prices = self.market.open[bars + 1], self.market.close[bars + 1]
            accounts, _ = trade_bar(accounts, target, *prices, self.config)
        return accounts.equity

    def _follow_compiled(self, policy: AnyPolicy) -> FloatArray:
        """Return the same as _follow(), several times as fast for small networks."""
        accounts = open_accounts(len(self.starts)).rows
        bars, positions = traded_bars(self.observer, self.market), np.array(self.config.positions)
        equity: FloatArray = _trade_windows(
            compile_policy(policy), positions, bars, self.starts, self.length, cost_rates(self.config), accounts
        )
        return equity


@compiled
def _trade_windows(
    policy: CompiledPolicy,
    positions: FloatArray,
    bars: TradedBars,
    starts: npt.NDArray[np.int64],
    length: int,
    rates: Rates,
    accounts: FloatArray,
) -> FloatArray:
    """Return the equity after `length` bars from each of `starts` on. Overwrites the given rows of the accounts."""
    count = len(starts)
    after = np.empty_like(accounts)
    outcome, ruined = np.empty((3, count)), np.empty(count, np.bool_)
    target, opened, closed = np.empty(count), np.empty(count), np.empty(count)
    seen = np.empty((count, bars.rows.shape[1]), np.float32)
    memory, actions = allocate_decisions(policy, count), np.empty(count, np.int64)
    for step in range(length):
        for window in range(count):
            bar = starts[window] + step
            # Assigned number by number, as in backtest._follow_compiled().
            for entry in range(seen.shape[1]):
                seen[window, entry] = bars.rows[bar, entry]
            closed[window] = bars.close[bar]
        fill_in(seen, bars.width, bars.largest_position, closed, accounts)
        decide(policy, seen, memory, actions)
        for window in range(count):
            target[window] = positions[actions[window]]
            opened[window] = bars.open[starts[window] + step + 1]
            closed[window] = bars.close[starts[window] + step + 1]
        trade_bar_into(accounts, target, opened, closed, rates, after, outcome, ruined)
        accounts, after = after, accounts
    equity: FloatArray = accounts[EQUITY]
    return equity
