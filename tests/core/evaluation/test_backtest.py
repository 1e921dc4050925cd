import numpy as np
import pytest
import torch

from rl_training.core.evaluation import backtest
from rl_training.core.evaluation.backtest import run_backtest
from rl_training.core.ppo.ensemble import combined
from rl_training.core.ppo.policy import Policy, PolicyShape
from rl_training.core.trading.features import FeatureStatistics
from rl_training.core.trading.observation import Observer, observation_names
from tests.trading_cases import random_market, rules


class OnlyPredict:
    """Hides the network of a policy, so that the backtest calls predict() at each bar."""

    def __init__(self, policy):
        self.predict = policy.predict


def policy_for(config, normalises_observations=False, hidden_sizes=(16, 8), members=1):
    return combined([member_for(config, normalises_observations, hidden_sizes, 5 + n) for n in range(members)])


def member_for(config, normalises_observations, hidden_sizes, seed):
    shape = PolicyShape(
        observation_size=len(observation_names(config)),
        action_count=len(config.positions),
        first_action=0,
        hidden_sizes=hidden_sizes,
        normalises_observations=normalises_observations,
        normalises_rewards=False,
    )
    policy = Policy.create(shape, torch.Generator().manual_seed(seed))
    for parameter in policy.network.actor.parameters():
        parameter.data *= 4
    if policy.observations is not None:
        policy.observations.update(
            np.random.default_rng(seed).normal(0.3, 2, (50, shape.observation_size)).astype(np.float32)
        )
    return policy


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("normalises_observations", [False, True])
@pytest.mark.parametrize("ruin_fraction", [0.01, 0.9])
def test_a_compiled_network_equals_predict_at_each_bar(members, normalises_observations, ruin_fraction):
    market = random_market(600, seed=2)
    config = rules(features=["log_return_5", "range"], ruin_fraction=ruin_fraction, borrow_rate=1e-5)
    observer = Observer(market, config, FeatureStatistics.fit(market, config))
    policy = policy_for(config, normalises_observations, members=members)
    rules_followed = [np.ones(600), np.sign(np.sin(np.arange(600.0)))]
    compiled = run_backtest(policy, market, config, observer, rules_followed)
    interpreted = run_backtest(OnlyPredict(policy), market, config, observer, rules_followed)
    assert compiled.equity.shape == (595, 3)
    assert np.unique(compiled.turnover[:, 0]).size > 10
    for name in ("equity", "cost", "turnover", "held"):
        assert np.array_equal(getattr(compiled, name), getattr(interpreted, name)), name


@pytest.mark.parametrize("bars_per_call", [1, 7, 100])
def test_bars_per_call_do_not_change_the_result(monkeypatch, bars_per_call):
    market = random_market(200, seed=2)
    config = rules(features=["log_return_5", "range"], borrow_rate=1e-5)
    observer = Observer(market, config, FeatureStatistics.fit(market, config))
    policy = policy_for(config)
    whole = run_backtest(policy, market, config, observer)
    monkeypatch.setattr(backtest, "BARS_PER_CALL", bars_per_call)
    calls = []
    parts = run_backtest(policy, market, config, observer, on_bars=lambda: calls.append(1))
    assert len(calls) == -(-len(whole.cost) // bars_per_call)
    for name in ("equity", "cost", "turnover", "held"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name)), name


def test_progress_is_reported_at_each_bar_that_predict_decides():
    market, calls = random_market(60, seed=2), []
    config = rules(features=["log_return_5"])
    observer = Observer(market, config, FeatureStatistics.fit(market, config))
    result = run_backtest(OnlyPredict(policy_for(config)), market, config, observer, on_bars=lambda: calls.append(1))
    assert len(calls) == len(result.cost)
