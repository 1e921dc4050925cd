"""Mutation tests: each plants one fault known from other projects, and a property of the environment must fail."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.trading import episodes
from rl_training.core.trading.accounting import CASH, EQUITY, Accounts, BarOutcome, FloatArray, trade_bar
from rl_training.core.trading.environment import TradingEnv
from rl_training.core.trading.episodes import Episodes
from rl_training.core.trading.features import FeatureStatistics
from tests import trading_properties as properties
from tests.trading_cases import Case, make_case

Accounting = Callable[[Accounts, FloatArray, FloatArray, FloatArray, EnvironmentConfig], tuple[Accounts, BarOutcome]]


def calm_cases() -> Iterable[Case]:
    return (make_case(seed) for seed in range(20))


def ruinous_cases() -> Iterable[Case]:
    return (make_case(seed, volatility=0.5, positions=3) for seed in range(20))


def check_all(check: Callable[[Case], None], cases: Iterable[Case]) -> None:
    for case in cases:
        check(case)


def paid(before: Accounts, after: Accounts, payment: FloatArray) -> tuple[Accounts, FloatArray]:
    """Return the accounts after an added payment, and the reward that results."""
    rows = after.rows.copy()
    rows[CASH] += payment
    rows[EQUITY] = np.maximum(after.equity + payment, 1e-6)
    return Accounts(rows), np.log(rows[EQUITY] / before.equity)


def profit_since_entry_added_each_bar(accounts, target, open_price, close_price, config):
    after, outcome = trade_bar(accounts, target, open_price, close_price, config)
    unrealised = np.where(outcome.ruined, 0.0, after.equity - after.entry_equity)
    after, reward = paid(accounts, after, unrealised)
    return after, replace(outcome, reward=reward)


def borrow_cost_assigned_not_accrued(accounts, target, open_price, close_price, config):
    after, outcome = trade_bar(accounts, target, open_price, close_price, config)
    borrow = config.borrow_rate * np.maximum(-after.units * close_price, 0.0)
    after, reward = paid(accounts, after, np.where(target == accounts.target, borrow, 0.0))
    return after, replace(outcome, reward=reward)


def zero_reward_on_ruin(accounts, target, open_price, close_price, config):
    after, outcome = trade_bar(accounts, target, open_price, close_price, config)
    return after, replace(outcome, reward=np.where(outcome.ruined, 0.0, outcome.reward))


def negative_fee(accounts, target, open_price, close_price, config):
    return trade_bar(accounts, target, open_price, close_price, config.model_copy(update={"fee": -config.fee}))


@pytest.mark.parametrize(
    ("fault", "noticed_by", "cases"),
    [
        (profit_since_entry_added_each_bar, properties.equity_equals_the_ledger, calm_cases),
        (profit_since_entry_added_each_bar, properties.always_long_is_the_price_ratio, calm_cases),
        (borrow_cost_assigned_not_accrued, properties.equity_equals_the_ledger, calm_cases),
        (borrow_cost_assigned_not_accrued, properties.holding_costs_accrue_linearly, calm_cases),
        (zero_reward_on_ruin, properties.rewards_sum_to_log_equity, ruinous_cases),
        (negative_fee, properties.equity_equals_the_ledger, calm_cases),
        (negative_fee, properties.costs_never_raise_equity, calm_cases),
        (negative_fee, properties.a_round_trip_costs_the_formula, calm_cases),
    ],
)
def test_wrong_accounting_fails_a_property(
    monkeypatch: pytest.MonkeyPatch,
    fault: Accounting,
    noticed_by: Callable[[Case], None],
    cases: Callable[[], Iterable[Case]],
) -> None:
    check_all(noticed_by, cases())
    monkeypatch.setattr(episodes, "trade_bar", fault)
    with pytest.raises(AssertionError):
        check_all(noticed_by, cases())


def patch_prices(monkeypatch: pytest.MonkeyPatch, **prices: Callable[[MarketData], FloatArray]) -> None:
    """Make episodes trade at prices that differ from the bars'."""
    begin = Episodes.__init__

    def wrong(self, market, *rest):
        begin(self, market, *rest)
        for name, price in prices.items():
            setattr(self, name, price(market))

    monkeypatch.setattr(Episodes, "__init__", wrong)


def test_fill_at_the_observed_close_fails_a_property(monkeypatch):
    patch_prices(monkeypatch, _open=lambda market: np.roll(market.close, 1))
    with pytest.raises(AssertionError):
        check_all(properties.equity_equals_the_ledger, calm_cases())
    with pytest.raises(AssertionError):
        check_all(properties.always_long_is_the_price_ratio, calm_cases())


def test_profit_from_the_observed_bar_fails_a_property(monkeypatch):
    patch_prices(
        monkeypatch, _open=lambda market: np.roll(market.open, 1), _close=lambda market: np.roll(market.close, 1)
    )
    with pytest.raises(AssertionError):
        properties.knowing_the_last_return_earns_nothing()


def test_profit_from_a_later_bar_fails_a_property(monkeypatch):
    patch_prices(monkeypatch, _close=lambda market: np.roll(market.close, -1))
    with pytest.raises(AssertionError):
        check_all(partial(properties.later_bars_change_nothing, at=5), calm_cases())


def test_statistics_of_all_bars_fail_a_property():
    def of_all_bars(market: MarketData, bars: int, config: EnvironmentConfig) -> TradingEnv:
        return TradingEnv(market[:bars], config, FeatureStatistics.fit(market, config))

    with pytest.raises(AssertionError):
        properties.training_knows_only_its_bars(make_case(0), of_all_bars)


def test_time_limit_as_termination_fails_a_property(monkeypatch):
    step = Episodes.step

    def merged(self, actions):
        outcome, terminated, truncated = step(self, actions)
        return outcome, terminated | truncated, np.zeros_like(truncated)

    monkeypatch.setattr(Episodes, "step", merged)
    with pytest.raises(AssertionError):
        properties.only_ruin_terminates(make_case(0))


def test_padded_data_fails_a_property(monkeypatch):
    begin = Episodes.__init__

    def padded(self, market, config, *rest):
        missing = max(config.episode_length + 2 - len(market), 0)
        last = market.timestamp[-1] + np.arange(1, missing + 1) * np.timedelta64(3600, "s")
        fill = [market.close[-1]] * missing
        longer = MarketData(
            timestamp=np.append(market.timestamp, last),
            **{name: np.append(getattr(market, name), fill) for name in ("open", "high", "low", "close")},
            volume=np.append(market.volume, [0.0] * missing),
        )
        begin(self, longer, config, *rest)

    monkeypatch.setattr(Episodes, "__init__", padded)
    with pytest.raises(pytest.fail.Exception):
        properties.short_data_is_refused(make_case(0))
