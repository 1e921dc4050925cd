import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.evaluation import evaluate
from rl_training.core.evaluation.references import best_targets, rule_targets
from rl_training.core.market.planted import planted_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.features import FeatureStatistics
from tests.trading_cases import FREE, make_market, random_market, rules

PLANTED = MarketConfig(source="planted", bars=12_000)
COSTS = EnvironmentConfig(features=["log_return_1"])


class Flat:
    def predict(self, observations, deterministic=True):
        return np.ones(len(observations), np.int64)


def evaluated(market, config, best=None):
    statistics = FeatureStatistics.fit(market, config)
    return evaluate(Flat(), market, config, statistics=statistics, best=best)


def test_sign_rules_hold_the_sign_of_the_last_returns():
    market = make_market([100] * 5, [100, 101, 99, 99, 102])
    found = rule_targets(market, rules())
    assert found["last_return_followed"].tolist() == [0, 1, -1, 0, 1]
    assert found["last_return_opposed"].tolist() == [0, -1, 1, 0, -1]
    assert found["last_20_bars_followed"].tolist() == [0] * 5
    closes = np.linspace(100, 103, 25)
    closes[21] = 90
    found = rule_targets(make_market(closes, closes), rules())
    assert found["last_20_bars_followed"][20:].tolist() == [1, -1, 1, 1, 1]


def test_sign_rules_stay_within_the_positions_of_the_environment():
    market = make_market([100] * 4, [100, 101, 99, 100])
    long_only = rule_targets(market, rules(positions=[0.0, 0.5]))
    assert long_only["last_return_followed"].tolist() == [0, 0.5, 0, 0.5]
    assert long_only["last_return_opposed"].tolist() == [0, 0, 0.5, 0]
    leveraged = rule_targets(market, rules(positions=[1.0, 3.0]))
    assert leveraged["last_return_followed"].tolist() == [0, 1, 0, 1]


def test_rules_trade_the_same_bars_with_the_same_accounting():
    # Without costs, each bar opens at the close before it. The short keeps its units from 121 to 108.9.
    closes = [100, 100, 110, 121, 108.9, 98.01]
    market = make_market([100, *closes[:-1]], closes)
    found = evaluated(market, rules(**FREE, features=["log_return_1"]))
    assert found.bars == 4
    assert found.last_return_followed.equity_curve == pytest.approx((1, 1, 1.1, 0.99, 1.089))
    assert found.last_return_opposed.equity_curve == pytest.approx((1, 1, 0.9, 1.01, 0.909))
    assert found.last_20_bars_followed.equity_curve == (1, 1, 1, 1, 1)
    assert found.best_possible is None


@pytest.mark.parametrize(("kind", "optimum"), [("ar1", 10.7), ("regime", 10.2)])
def test_best_rule_earns_more_than_the_sign_rules_on_planted_markets(kind, optimum):
    config = PLANTED.model_copy(update={"planted_kind": kind, "planted_seed": 1})
    market = planted_market(config)
    best = best_targets(config, market, COSTS, 1)
    assert best is not None
    found = evaluated(market, COSTS, best)
    assert found.best_possible is not None
    per_bar = 1e4 * np.log1p(found.best_possible.total_return) / found.bars
    # The deviation of the mean of 12,000 bars of 1 % is 0.9 basis points.
    assert per_bar == pytest.approx(optimum, abs=2.0)
    others = (found.last_return_followed, found.last_return_opposed, found.last_20_bars_followed)
    assert found.best_possible.total_return > max(other.total_return for other in others)


def test_best_rule_without_structure_stays_flat():
    config = PLANTED.model_copy(update={"planted_kind": "independent", "bars": 100})
    best = best_targets(config, planted_market(config), COSTS, 1)
    assert best is not None
    assert not best.any()


@pytest.mark.parametrize("changed", [{"positions": [0.0, 1.0]}, {"borrow_rate": 1e-5}, {"funding_rate": 1e-5}])
def test_best_rule_is_unknown_under_other_rules(changed):
    assert best_targets(PLANTED, planted_market(PLANTED), COSTS.model_copy(update=changed), 1) is None


def test_best_rule_is_unknown_on_real_markets():
    assert best_targets(MarketConfig(), random_market(200, seed=1), COSTS, 1) is None
