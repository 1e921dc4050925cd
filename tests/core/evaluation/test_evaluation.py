import json
import math

import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.evaluation import evaluate, sharpe_interval, sharpe_intervals
from rl_training.core.market.bars import MarketDataError
from rl_training.core.trading.environment import TradingEnv
from rl_training.core.trading.features import FeatureStatistics
from tests.trading_cases import FREE, make_market, random_market, rules

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


class Follows:
    """A policy that depends on its observation: 2 if the first feature is positive, else 1 or 0 by the drawdown."""

    def predict(self, observations, deterministic=True):
        assert deterministic
        return np.where(observations[:, 0] > 0, 2, np.where(observations[:, -1] > 0.02, 1, 0))


class Always:
    def __init__(self, action):
        self.action = action

    def predict(self, observations, deterministic=True):
        return np.full(len(observations), self.action)


def evaluated(policy, market, config):
    return evaluate(policy, market, config, statistics=FeatureStatistics.fit(market, config))


def test_evaluation_equals_an_episode_of_the_environment():
    market, config = random_market(300, seed=1), rules(features=["log_return_5", "range"])
    whole = config.model_copy(update={"episode_length": 300 - 6})
    env = TradingEnv(market, whole)
    observation, _ = env.reset()
    equity, costs, turnover, ended = [1.0], 0.0, 0.0, False
    while not ended:
        observation, _, terminated, ended, info = env.step(Follows().predict(observation[None])[0])
        assert not terminated
        equity.append(info["equity"])
        costs, turnover = costs + info["cost"], turnover + info["turnover"]
    evaluation = evaluate(Follows(), market, config, statistics=env.statistics)
    assert evaluation.equity_curve == tuple(equity)
    assert evaluation.total_return == equity[-1] - 1
    assert evaluation.costs_paid == pytest.approx(costs, rel=1e-12)
    assert evaluation.turnover == pytest.approx(turnover, rel=1e-12)
    assert evaluation.bars == 294


def test_metrics_equal_the_calculation_by_hand():
    # Equity 1, 1.1, 0.99, 0.99 (flat), 1.089: returns 10 %, -10 %, 0 and 10 %.
    market = make_market([100, 100, 100, 110, 99, 50], [100, 100, 110, 99, 50, 55])
    actions = iter([1, 1, 0, 1])

    class Script:
        def predict(self, observations, deterministic=True):
            return np.array([next(actions)])

    evaluation = evaluated(Script(), market, rules(**FREE, positions=[0, 1]))
    returns = np.array([0.1, -0.1, 0.0, 0.1])
    scale = math.sqrt(8766)  # hourly bars
    assert evaluation.annualisation == 8766
    assert evaluation.equity_curve == pytest.approx((1, 1.1, 0.99, 0.99, 1.089))
    assert evaluation.total_return == pytest.approx(0.089)
    assert evaluation.sharpe == pytest.approx(scale * 0.025 / np.std(returns, ddof=1))
    assert evaluation.sortino == pytest.approx(scale * 0.025 / 0.05)
    assert evaluation.max_drawdown == pytest.approx(0.1)
    assert evaluation.turnover == pytest.approx(3)
    assert evaluation.time_in_market == 0.75
    assert evaluation.hit_rate == pytest.approx(2 / 3)
    assert evaluation.costs_paid == 0
    assert evaluation.timestamps == tuple(f"2024-01-01T{hour:02}:00:00Z" for hour in range(1, 6))


def test_buy_and_hold_is_the_price_ratio_after_costs():
    market = random_market(100, seed=2)
    evaluation = evaluated(Always(0), market, rules(fee=0.01, slippage=0.0, positions=[-0.5, 0.5]))
    assert evaluation.buy_and_hold.total_return == pytest.approx(market.close[-1] / market.open[2] / 1.01 - 1)
    assert evaluation.buy_and_hold.costs_paid == pytest.approx(0.01 / 1.01)
    assert evaluation.buy_and_hold.turnover == pytest.approx(1 / 1.01)
    assert evaluation.buy_and_hold.time_in_market == 1


def test_intervals_of_several_accounts_equal_those_of_each():
    returns = np.random.default_rng(1).normal(0.001, 0.01, (300, 3))
    together = sharpe_intervals(returns, 252.0)
    assert together == [sharpe_interval(returns[:, account], 252.0) for account in range(3)]


def test_staying_flat_has_no_ratios():
    evaluation = evaluated(Always(1), random_market(100, seed=2), rules())
    for flat in (evaluation, evaluation.flat):
        assert (flat.total_return, flat.max_drawdown, flat.turnover, flat.time_in_market) == (0, 0, 0, 0)
        assert (flat.sharpe, flat.sharpe_interval, flat.sortino, flat.hit_rate) == (None, None, None, None)


def test_a_ruined_policy_stays_at_the_floor():
    market = make_market([100] * 8, [100, 100, 100, 200, 100, 100, 100, 150])
    evaluation = evaluated(Always(0), market, rules(**FREE))
    assert evaluation.equity_curve == (1.0, 1.0, 0.01, 0.01, 0.01, 0.01, 0.01)
    assert evaluation.max_drawdown == 0.99
    assert evaluation.time_in_market == pytest.approx(2 / 6)
    assert evaluation.buy_and_hold.total_return == 0.5


def test_dictionary_is_json_without_nan_or_infinity():
    evaluation = evaluated(Follows(), random_market(60, seed=3), rules()).as_dict()
    assert json.loads(json.dumps(evaluation, allow_nan=False)) == evaluation
    references = {"buy_and_hold", "flat", "last_return_followed", "last_return_opposed", "last_20_bars_followed"}
    assert set(evaluation["buy_and_hold"]) == set(evaluation) - references - {
        "bars", "annualisation", "timestamps", "best_possible"
    }  # fmt: skip
    assert all(set(evaluation[name]) == set(evaluation["flat"]) for name in references)
    assert evaluation["best_possible"] is None


def test_a_long_curve_has_1000_points_with_both_ends():
    evaluation = evaluated(Always(2), random_market(3000, seed=3), rules())
    assert len(evaluation.equity_curve) == len(evaluation.flat.equity_curve) == len(evaluation.timestamps) == 1000
    assert evaluation.equity_curve[0] == 1
    assert evaluation.equity_curve[-1] == pytest.approx(1 + evaluation.total_return)


@pytest.mark.parametrize("seed", range(2))
def test_a_long_curve_shows_the_same_maximum_drawdown(seed):
    evaluation = evaluated(Follows(), random_market(5000, seed=seed), rules())
    for account in (evaluation, evaluation.buy_and_hold):
        curve = np.array(account.equity_curve)
        assert np.max(1 - curve / np.maximum.accumulate(curve)) == account.max_drawdown > 0
        assert len(curve) == len(evaluation.timestamps) == 1000


def test_sharpe_interval_contains_the_true_ratio_and_repeats():
    returns = np.random.default_rng(1).normal(0.001, 0.01, 2000)
    lower, upper = sharpe_interval(returns, 252.0)
    # The deviation of a Sharpe ratio of 2,000 independent returns is sqrt(252 / 2000) = 0.355.
    assert lower < 0.1 * math.sqrt(252) < upper
    assert upper - lower == pytest.approx(2 * 1.96 * 0.355, rel=0.15)
    assert sharpe_interval(returns, 252.0) == (lower, upper)


def test_one_decision_gives_a_return_and_no_ratio():
    evaluation = evaluated(Always(1), make_market([50, 50, 50], [50, 50, 60]), rules(**FREE, positions=[0, 1]))
    assert evaluation.total_return == pytest.approx(0.2)
    assert evaluation.sharpe is None


def test_equity_beyond_float64_is_refused():
    class Reverts:
        def predict(self, observations, deterministic=True):
            return np.where(observations[:, 0] > 0, 0, 1)

    closes = np.tile([100.0, 105.0], 1_000)
    market = make_market(np.concatenate([[100.0], closes[:-1]]), closes)
    config = rules(**FREE, features=["log_return_1"], positions=[-10.0, 10.0])
    with pytest.raises(MarketDataError, match=r"after 1\d{3} of 1998 bars equity is more than a number can hold"):
        evaluated(Reverts(), market, config)


def test_too_few_bars_are_refused():
    config = EnvironmentConfig()
    statistics = FeatureStatistics.fit(random_market(200, seed=1), config)
    with pytest.raises(MarketDataError, match="104 bars, but at least 105 are needed"):
        evaluate(Always(1), random_market(104, seed=1), config, statistics=statistics)
