"""Decisions bar by bar equal those of training and evaluation, to the bit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.decision import (
    NEW_ACCOUNT,
    bars_needed,
    choose,
    choose_from,
    digest_of,
    follow_rule,
    for_account,
    next_state,
)
from rl_training.core.evaluation.backtest import run_backtest
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.environment import TradingEnv
from rl_training.core.trading.observation import Observer
from tests.core.deciding.networks import random_policy, stored_network
from tests.trading_cases import make_market, random_market

SHARED, BITCOIN = Path(__file__).parents[3].parent / "shared" / "data", "BTC_USD-Hourly.csv"
ALL_FEATURES = EnvironmentConfig(
    features=[
        *("log_return_1", "log_return_5", "log_return_20", "volatility_20", "rsi_14", "macd", "range"),
        *("volume_zscore_20", "time_of_day", "time_of_week"),
    ],
    borrow_rate=0.0001,
    funding_rate=0.00005,
)


def decide_all(network, market, costs):
    """Return the choices and equities of an account that decides from the last bars only, at one bar after another."""
    needed, state = bars_needed(network.environment), NEW_ACCOUNT
    choices, equities = [], [state.equity]
    for bar in range(needed - 1, len(market) - 1):
        choices.append(choose(network, market[bar - needed + 1 : bar + 1], state))
        state = next_state(state, choices[-1].target, market[bar + 1 : bar + 2], costs)
        equities.append(state.equity)
    return choices, equities


@pytest.mark.parametrize(("members", "normalises"), [(1, True), (3, False)])
def test_account_equals_the_backtest_of_the_policy(tmp_path, members, normalises):
    market, policy = random_market(600, 5, 0.02), random_policy(ALL_FEATURES, members, normalises)
    network = stored_network(tmp_path, policy, ALL_FEATURES, market)
    observer = Observer(market, ALL_FEATURES, network.statistics)
    backtest = run_backtest(policy, market, ALL_FEATURES, observer)
    choices, equities = decide_all(network, market, ALL_FEATURES)
    assert equities == backtest.equity[:, 0].tolist()
    assert {choice.target for choice in choices} == {-1.0, 0.0, 1.0}


def test_observations_are_those_of_the_environment_byte_for_byte(tmp_path):
    market = random_market(400, 3)
    network = stored_network(tmp_path, random_policy(ALL_FEATURES), ALL_FEATURES, market)
    config = ALL_FEATURES.model_copy(update={"episode_length": len(market) - bars_needed(ALL_FEATURES)})
    env = TradingEnv(market, config, network.statistics)
    observed, _ = env.reset(options={"start": bars_needed(ALL_FEATURES) - 1})
    for choice in decide_all(network, market, ALL_FEATURES)[0]:
        assert choice.observation.tobytes() == observed.tobytes()
        observed = env.step(ALL_FEATURES.positions.index(choice.target))[0]


@pytest.mark.skipif(not (SHARED / BITCOIN).exists(), reason="the shared market data is not beside the checkout")
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.long), 97])
def test_every_bar_of_bitcoin_is_observed_as_in_training(tmp_path, every):
    market = load_market(MarketConfig(source="file", path=BITCOIN), root=SHARED)
    network = stored_network(tmp_path, random_policy(ALL_FEATURES), ALL_FEATURES, market)
    observer, state = Observer(market, ALL_FEATURES, network.statistics), NEW_ACCOUNT
    for bar in range(bars_needed(ALL_FEATURES) - 1, len(market) - 1, every):
        choice = choose(network, market[bar - 103 : bar + 1], state)
        assert choice.observation.tobytes() == observer.observe(np.array([bar]), state.accounts()).tobytes()
        state = next_state(state, choice.target, market[bar + 1 : bar + 2], ALL_FEATURES)


@pytest.mark.parametrize("members", [1, 3])
def test_probabilities_and_value_are_those_of_torch(tmp_path, members):
    policy = random_policy(ALL_FEATURES, members, normalises=True)
    network = stored_network(tmp_path, policy, ALL_FEATURES, random_market(200, 0))
    observation = np.linspace(-2, 2, network.actor.sizes[0], dtype=np.float32)
    choice = choose_from(network, observation)
    rows = torch.from_numpy(observation.reshape(1, -1))
    logits = [torch.softmax(member.logits(rows).double(), 1)[0] for member in policy.members]
    values = [member.network.values(member.inputs(rows)).item() for member in policy.members]
    assert choice.probabilities == pytest.approx(torch.stack(logits).mean(0).tolist(), abs=1e-5)
    assert choice.value == pytest.approx(sum(values) / members, abs=1e-4)
    assert sum(choice.probabilities) == pytest.approx(1.0)


def test_account_of_a_caller_is_observed_within_the_limits_of_training(tmp_path):
    network = stored_network(tmp_path, random_policy(ALL_FEATURES), ALL_FEATURES, random_market(200, 0))
    seen = np.zeros(network.actor.sizes[0], np.float32)
    assert for_account(network, seen, 0.5, -0.01, 0.25).observation[-3:].tolist() == [
        0.5,
        pytest.approx(-0.01),
        0.25,
    ]
    assert for_account(network, seen, 9.0, -7.0, 1.0).observation[-3:].tolist() == [2.0, -5.0, 1.0]
    assert seen.tolist() == [0.0] * len(seen)


def test_too_few_bars_are_refused(tmp_path):
    network = stored_network(tmp_path, random_policy(ALL_FEATURES), ALL_FEATURES, random_market(200, 0))
    with pytest.raises(MarketDataError, match="103 bars, but a decision needs the last 104"):
        choose(network, random_market(103, 0), NEW_ACCOUNT)


def test_account_pays_for_a_trade_at_the_next_open():
    costs = EnvironmentConfig(fee=0.001, slippage=0.0)
    bar = make_market([100.0], [110.0])
    state = next_state(NEW_ACCOUNT, 1.0, bar, costs)
    after_costs = 1 - 0.001 / 1.001
    assert state.target == 1.0
    assert state.entry_equity == pytest.approx(after_costs)
    assert state.equity == pytest.approx(after_costs * 1.1)
    held = next_state(state, 1.0, make_market([110.0], [99.0]), costs)
    assert (held.units, held.peak) == (state.units, state.equity)
    assert held.equity == pytest.approx(after_costs * 0.99)


@pytest.mark.parametrize(
    ("rule", "target"),
    [("buy_and_hold", 1.0), ("flat", 0.0), ("last_return_followed", -1.0), ("last_return_opposed", 1.0)],
)
def test_rules_choose_by_the_last_bars(rule, target):
    assert follow_rule(rule, make_market([1.0, 2.0, 3.0], [2.0, 3.0, 2.5]), EnvironmentConfig()) == target


def test_trend_rule_sees_twenty_bars():
    closes = [1.0, *np.full(19, 5.0), 2.0]
    assert follow_rule("last_20_bars_followed", make_market(closes, closes), EnvironmentConfig()) == 1.0
    closes[0] = 3.0
    assert follow_rule("last_20_bars_followed", make_market(closes, closes), EnvironmentConfig()) == -1.0


def test_window_of_a_longer_history_gives_the_same_choice(tmp_path):
    market: MarketData = random_market(300, 9)
    network = stored_network(tmp_path, random_policy(ALL_FEATURES), ALL_FEATURES, market)
    whole, window = choose(network, market, NEW_ACCOUNT), choose(network, market[196:], NEW_ACCOUNT)
    assert digest_of(whole.observation) == digest_of(window.observation)
