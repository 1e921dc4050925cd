import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.optimum import optimum, upward_probability
from rl_training.core.market.planted import planted_returns
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.accounting import open_accounts, trade_bar


def planted(kind="ar1", **given):
    return MarketConfig(source="planted", planted_kind=kind, **given)


def profit_per_bar(returns, targets, cost):
    """Return the additive profit in basis points per bar of targets, [T], that earn the return after them."""
    turnover = np.abs(np.diff(targets, prepend=0.0))
    return 1e4 * np.mean(targets[:-1] * returns[1:] - cost * turnover[:-1])


@pytest.mark.parametrize(
    ("config", "cost", "accounting", "reward"),
    [
        (planted(planted_phi=0.2), 0.0, "profit", 15.96),
        (planted(planted_phi=0.2), 0.0005, "profit", 12.07),
        (planted(planted_phi=0.2), 0.001, "profit", 9.01),
        (planted(planted_phi=0.3), 0.001, "profit", 17.06),
        (planted("regime"), 0.0005, "profit", 11.32),
        (planted("independent"), 0.0005, "profit", 0.0),
        (planted(planted_phi=0.2), 0.001, "rebalanced", 8.53),
        (planted("independent"), 0.0005, "rebalanced", 0.0),
    ],
)
def test_optimum_equals_the_published_reward(config, cost, accounting, reward):
    assert optimum(config, cost, accounting).reward == pytest.approx(reward, abs=0.006)


def test_optimum_without_cost_follows_the_sign_of_the_last_return():
    best = optimum(planted(planted_phi=0.2), 0.0, "profit")
    # The reward is E |phi r| for a normal r, in basis points.
    assert best.reward == pytest.approx(0.2 * 100 * np.sqrt(2 / np.pi), abs=0.002)
    assert best.decide(np.array([-0.001, 0.001]), np.array([1.0, -1.0])).tolist() == [-1.0, 1.0]


def test_optimum_with_cost_keeps_the_position_after_small_returns():
    best = optimum(planted(planted_phi=0.2), 0.001, "profit")
    held = np.array([-1.0, 0.0, 1.0])
    assert best.decide(np.zeros(3), held).tolist() == [-1.0, 0.0, 1.0]
    assert best.decide(np.full(3, 0.03), held).tolist() == [1.0, 1.0, 1.0]
    assert best.decide(np.full(3, -0.03), held).tolist() == [-1.0, -1.0, -1.0]


def test_optimum_of_independent_returns_is_to_stay_flat():
    config = planted("independent", bars=1000)
    for accounting in ("profit", "held"):
        assert not optimum(config, 0.0005, accounting).targets(planted_returns(config)).any()


def test_following_the_optimum_earns_its_reward():
    config = planted(bars=250_000, planted_seed=1)
    returns = planted_returns(config)
    best = optimum(config, 0.001, "profit")
    targets = best.targets(returns)
    # The earnings beyond their expectation, given the last return, are noise of mean 0.
    noise = 1e4 * np.mean(targets[:-1] * (returns[1:] - 0.2 * returns[:-1]))
    assert profit_per_bar(returns, targets, 0.001) - noise == pytest.approx(best.reward, abs=0.15)
    naive = profit_per_bar(returns, np.sign(returns), 0.001)
    assert naive / profit_per_bar(returns, targets, 0.001) == pytest.approx(0.80, abs=0.04)


def test_regime_signal_uses_all_returns_so_far():
    config = planted("regime", bars=250_000, planted_seed=1)
    returns = planted_returns(config)
    best = optimum(config, 0.0005, "profit")
    signals = upward_probability(returns, config)
    assert 0.01 <= signals.min() < 0.1 < 0.9 < signals.max() <= 0.99
    targets = best.targets(signals)
    noise = 1e4 * np.mean(targets[:-1] * (returns[1:] - config.planted_drift * (2 * signals[:-1] - 1)))
    assert profit_per_bar(returns, targets, 0.0005) - noise == pytest.approx(best.reward, abs=0.5)


def test_held_accounting_earns_the_reward_of_the_environment():
    best = optimum(planted(planted_phi=0.2), 0.001, "held")
    config = EnvironmentConfig(fee=0.001, slippage=0.0)
    random = np.random.default_rng(3)
    accounts = open_accounts(4000)
    last, price = np.zeros(4000), np.ones(4000)
    rewards = []
    for _ in range(400):
        target = best.decide(last, accounts.target)
        new = 0.2 * last + 0.01 * np.sqrt(1 - 0.2**2) * random.standard_normal(4000)
        close = price * np.exp(new)
        accounts, outcome = trade_bar(accounts, target, price, close, config)
        rewards.append(1e4 * np.mean(outcome.reward - target * (new - 0.2 * last)))
        last, price = new, close
    assert best.reward == pytest.approx(8.33, abs=0.01)
    # The rule sees only the last return and the position, not the exposure, which costs it about 0.01.
    assert np.mean(rewards[20:]) == pytest.approx(best.reward - 0.01, abs=0.06)
