import numpy as np
import pytest

from rl_training.core.evaluation.held_out import HeldOutEpisodes
from rl_training.core.trading.environment import TradingEnv
from rl_training.core.trading.features import FeatureStatistics
from tests.core.evaluation.test_backtest import policy_for
from tests.trading_cases import random_market, rules

# Decisions are possible at the bars 5 to 198.
MARKET = random_market(200, seed=2)
RULES = rules(features=["log_return_5", "range"], borrow_rate=1e-5, episode_length=40)
STATISTICS = FeatureStatistics.fit(MARKET, RULES)


def episodes(decisions, length=40, market=MARKET):
    return HeldOutEpisodes(market, RULES, STATISTICS, decisions=decisions, length=length)


def test_windows_are_evenly_spaced_from_the_first_decision_to_the_last():
    assert episodes(120).starts.tolist() == [5, 82, 159]
    assert episodes(120).length == 40
    assert episodes(119).starts.tolist() == [5, 159]


def test_windows_are_shorter_where_bars_or_decisions_are_few():
    assert (episodes(20).length, len(episodes(20).starts)) == (20, 1)
    assert (episodes(0).length, len(episodes(0).starts)) == (1, 1)
    short = episodes(10_000, market=MARKET[:16])
    assert (short.length, short.starts.tolist()) == (10, [5])


@pytest.mark.parametrize("members", [1, 3])
def test_reward_is_that_of_the_environments_episodes(members):
    policy, env = policy_for(RULES, True, members=members), TradingEnv(MARKET, RULES, STATISTICS)
    rewards = []
    for start in (5, 82, 159):
        observation, _ = env.reset(options={"start": start})
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, ended, _ = env.step(policy.predict(observation))
            assert not terminated
            total += reward
        rewards.append(total)
    assert len(set(rewards)) == 3
    assert episodes(120).mean_reward(policy) == pytest.approx(np.mean(rewards), rel=1e-9)


def test_reward_is_scaled_to_an_episode():
    policy = policy_for(RULES)
    half = episodes(40, length=20)
    assert half.mean_reward(policy) == pytest.approx(2 * np.log(half._follow(policy)).mean())


@pytest.mark.parametrize("members", [1, 3])
def test_compiled_windows_equal_predict_at_each_bar(members):
    policy = policy_for(RULES, members=members)
    found = episodes(400)
    assert np.array_equal(found._follow_compiled(policy), found._follow(policy))
