import json
import math

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from pydantic import ValidationError

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketDataError
from rl_training.core.trading.environment import TradingEnv, TradingVectorEnv
from rl_training.core.trading.features import FeatureStatistics
from tests import trading_properties as properties
from tests.trading_cases import FREE, Case, make_market, random_market, rules

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

ONE_EPISODE = random_market(12, seed=1)  # fits one episode of 10 decisions, so that it always begins at bar 1


def test_vector_env_equals_single_envs_over_10000_random_steps():
    market, config = (
        random_market(300, seed=4, volatility=0.1),
        rules(positions=[-2.0, 0.0, 0.7, 2.0], ruin_fraction=0.6),
    )
    count, random = 10, np.random.default_rng(0)
    envs, singles = TradingVectorEnv(market, config, count, seed=0), [TradingEnv(market, config) for _ in range(count)]
    observations, info = envs.reset()
    expected = [single.reset(options={"start": bar})[0] for single, bar in zip(singles, info["bar"], strict=True)]
    ended = {"terminated": 0, "truncated": 0}
    for _ in range(1000):
        assert np.array_equal(observations, expected)
        actions = random.integers(4, size=count)
        observations, rewards, terminated, truncated, info = envs.step(actions)
        for i, single in enumerate(singles):
            expected[i], reward, *flags, single_info = single.step(actions[i])
            assert (reward, *flags) == (rewards[i], terminated[i], truncated[i])
            if any(flags):
                ended["terminated" if flags[0] else "truncated"] += 1
                assert np.array_equal(info["final_obs"][i], expected[i])
                assert {name: info["final_info"][name][i] for name in single_info} == single_info
                expected[i], single_info = single.reset(options={"start": info["bar"][i]})
            assert {name: info[name][i] for name in single_info} == single_info
    assert min(ended.values()) > 50


def test_vector_env_equals_sync_vector_env_of_gymnasium():
    config = rules(positions=[-3.0, 3.0], ruin_fraction=0.9)
    market = random_market(12, seed=1, volatility=0.05)
    ours = TradingVectorEnv(market, config, 3, seed=0)
    theirs = SyncVectorEnv([lambda: TradingEnv(market, config)] * 3, autoreset_mode="SameStep")
    assert ours.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    assert data_equivalence(ours.reset(seed=1), theirs.reset(seed=1), exact=True)
    random = np.random.default_rng(2)
    for _ in range(40):
        actions = random.integers(2, size=3)
        assert data_equivalence(ours.step(actions), theirs.step(actions), exact=True)


def test_check_env_of_gymnasium_accepts_the_environment(recwarn):
    env = gymnasium.make("quantum_trader/Trading-v0", market=ONE_EPISODE, config=rules())
    check_env(env.unwrapped)
    assert not recwarn.list


def test_check_env_of_stable_baselines3_accepts_the_environment():
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    checker.check_env(TradingEnv(ONE_EPISODE, rules()), warn=True)


def test_ppo_of_stable_baselines3_trains_on_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SB3_LOGDIR", str(tmp_path))
    library = pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
    model = library.PPO("MlpPolicy", TradingEnv(ONE_EPISODE, rules()), n_steps=64, batch_size=64, n_epochs=1, seed=0)
    assert model.learn(128).num_timesteps == 128


def test_gymnasium_makes_the_vector_env():
    envs = gymnasium.make_vec("quantum_trader/Trading-v0", num_envs=4, market=ONE_EPISODE, config=rules())
    assert isinstance(envs, TradingVectorEnv)
    assert envs.reset(seed=0)[0].shape == (4, 7)


def test_a_trade_with_costs_equals_the_calculation_by_hand():
    market = make_market([100, 100, 110, 120], [100, 100, 115, 90])
    env = TradingEnv(market, rules(**FREE | {"fee": 0.01, "slippage": 0.02}, episode_length=2))
    env.reset()
    _, reward, *_, info = env.step(2)
    # 1 = units x 110 x 1.02 x 1.01: all of the equity goes into units and their costs.
    units = 1 / (110 * 1.02 * 1.01)
    assert info["equity"] == pytest.approx(units * 115, rel=1e-12)
    assert info["cost"] == pytest.approx(1 - units * 110, rel=1e-12)
    assert reward == pytest.approx(math.log(units * 115), rel=1e-12)
    *_, info = env.step(1)
    assert info["equity"] == pytest.approx(units * 120 * 0.98 * 0.99, rel=1e-12)


def test_holding_a_target_trades_nothing_though_exposure_drifts():
    env = TradingEnv(make_market([100] * 5, [100, 100, 150, 150, 150]), rules(**FREE, episode_length=3))
    env.reset()
    observation, *_, info = env.step(0)
    assert observation[-3] == -2.0  # -3 x the equity, shown within twice the largest target
    assert (info["equity"], info["turnover"]) == (0.5, 1.0)
    *_, info = env.step(0)
    assert info["turnover"] == 0.0


def test_account_is_observed_as_position_unrealised_return_and_drawdown():
    env = TradingEnv(
        make_market([100] * 5, [100, 100, 120, 90, 90]), rules(**FREE, positions=[0, 0.5], episode_length=3)
    )
    env.reset()
    env.step(1)
    observation = env.step(1)[0]
    # 0.5 in the market and 0.5 in cash: equity 1.1 at 120, 0.95 at 90.
    assert observation[-3:] == pytest.approx([0.45 / 0.95, math.log(0.95), 1 - 0.95 / 1.1], rel=1e-6)


def test_gap_through_ruin_leaves_the_floor():
    env = TradingEnv(make_market([100, 100, 100, 900, 50], [100, 100, 100, 50, 50]), rules(**FREE, episode_length=3))
    env.reset()
    env.step(0)
    _, reward, terminated, truncated, info = env.step(0)  # short, and the open is nine times the entry
    assert (terminated, truncated, info["equity"]) == (True, False, 0.01)
    assert reward == pytest.approx(math.log(0.01))
    assert env.accounts.units[0] == 0.0


def test_a_restored_state_continues_bit_for_bit():
    market, config = random_market(60, seed=3), rules(positions=[-3.0, 0.0, 3.0])
    actions = np.random.default_rng(0).integers(3, size=(50, 6))
    envs = TradingVectorEnv(market, config, 6, seed=5)
    envs.reset()
    for action in actions[:17]:
        observation = envs.step(action)[0]
    state = envs.state_dict()
    state["rng"] = json.loads(json.dumps(state["rng"]))
    expected = [envs.step(action) for action in actions[17:]]
    other = TradingVectorEnv(market, config, 6, seed=99)
    other.load_state_dict(state)
    assert np.array_equal(other.observe(), observation)
    assert data_equivalence([other.step(action) for action in actions[17:]], expected, exact=True)


def test_state_of_other_environments_is_refused():
    market, config = random_market(60, seed=3), rules()
    state = TradingVectorEnv(market, config, 6).state_dict()
    with pytest.raises(ValueError, match=r"bar must have shape \(4,\), got \(6,\)"):
        TradingVectorEnv(market, config, 4).load_state_dict(state)
    state["episodes"]["last_bar"][0] = 50
    with pytest.raises(ValueError, match="beyond the market's 20 bars"):
        TradingVectorEnv(market[:20], config, 6).load_state_dict(state)


def test_same_seed_draws_the_same_starts():
    market = random_market(500, seed=3)
    one, two = TradingVectorEnv(market, rules(), 8, seed=7), TradingVectorEnv(market, rules(), 8, seed=8)
    first = one.reset()[1]["bar"].tolist()
    assert two.reset(seed=7)[1]["bar"].tolist() == first
    assert one.reset()[1]["bar"].tolist() != first
    assert one.reset(seed=7)[1]["bar"].tolist() == first


@pytest.mark.parametrize("start", [0, 3, -1, 1.0, "1", [1, 2, 1]])
def test_start_that_does_not_fit_is_refused(start):
    with pytest.raises(ValueError, match=r"start: got .* from 1 to 2"):
        TradingVectorEnv(random_market(13, seed=1), rules(), 2).reset(options={"start": start})


def test_every_possible_start_occurs():
    envs = TradingVectorEnv(random_market(14, seed=1), rules(), 100, seed=0)
    assert set(envs.reset()[1]["bar"].tolist()) == {1, 2, 3}


def test_unknown_reset_option_is_refused():
    with pytest.raises(ValueError, match="begin unknown"):
        TradingEnv(ONE_EPISODE, rules()).reset(options={"begin": 3})


@pytest.mark.parametrize("actions", [[0, 3], [-1, 0], [0], [0.0, 1.0], [[0, 1]], [True, False]])
def test_wrong_actions_are_refused(actions):
    envs = TradingVectorEnv(ONE_EPISODE, rules(), 2)
    envs.reset()
    with pytest.raises(ValueError, match="must be 2 integers from 0 to 2"):
        envs.step(actions)


def test_step_outside_an_episode_is_refused():
    env = TradingEnv(ONE_EPISODE, rules())
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(AssertionError):
        properties.run(Case(ONE_EPISODE, rules(), (1,) * 9))
    env.reset()
    for _ in range(10):
        env.step(1)
    with pytest.raises(ResetNeeded):
        env.step(1)


def test_statistics_of_other_features_are_refused():
    statistics = FeatureStatistics.fit(ONE_EPISODE, rules(features=["range"]))
    with pytest.raises(ValueError, match=r"they are those of \('range',\), but the environment observes"):
        TradingEnv(ONE_EPISODE, rules(), statistics)


def test_too_few_bars_for_the_default_features_are_refused():
    with pytest.raises(MarketDataError, match="200 bars, but at least 616 are needed: 103 before the first decision"):
        TradingVectorEnv(random_market(200, seed=1), EnvironmentConfig(), 2, seed=0)


def test_positions_whose_costs_cannot_be_paid_are_refused():
    with pytest.raises(ValidationError, match=r"positions: trading to 10.0 costs 1.05 of equity"):
        rules(positions=[0, 10], fee=0.05, slippage=0.0524)
