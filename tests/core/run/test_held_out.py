import numpy as np
import pytest

from rl_training.core.config import TrainingConfig
from rl_training.core.ppo.policy import Policy, PolicyShape
from rl_training.core.ppo.ppo import Iteration
from rl_training.core.run.held_out import HeldOutCurve, measured_iterations
from rl_training.core.run.progress import Progress
from rl_training.core.run.training import train
from rl_training.core.trading.features import FeatureStatistics
from tests.core.run.small_run import CONFIG, MARKET, bars, changed


def test_iterations_are_measured_at_even_distances_up_to_the_last():
    assert measured_iterations(5) == [1, 2, 3, 4, 5]
    assert measured_iterations(24) == list(range(1, 25))
    found = measured_iterations(32)
    assert (found[:6], found[-1], len(found)) == ([2, 3, 4, 6, 7, 8], 32, 24)
    assert measured_iterations(2400) == list(range(100, 2401, 100))


def test_measuring_does_not_alter_the_weights(whole):
    # The same training bars, 210 of 300, without held-out bars.
    alone = train(changed(CONFIG, market__train_fraction=1.0), MARKET[:210])
    assert alone.weights_digest == whole.weights_digest
    assert alone.curve["episodes"] == whole.curve["episodes"]
    assert alone.curve["held_out"] == {"x": [], "training_reward": [], "held_out_reward": [], "width": 1}


def test_training_reward_is_that_of_an_episode_since_the_previous_point(whole):
    rewards: list[np.ndarray] = []
    seen: list[Progress] = []
    train(CONFIG, MARKET, on_iteration=lambda one: rewards.append(one.rewards), on_progress=seen.append)
    expected = [24 * block.mean() for block in rewards]
    assert whole.curve["held_out"]["training_reward"] == pytest.approx(expected, rel=1e-5)
    assert seen[-1].held_out is not None
    assert seen[-1].held_out.training == pytest.approx(expected[-1], rel=1e-12)


def test_reward_between_points_counts_all_iterations():
    config = changed(CONFIG, episodes=32)  # 48 iterations, every second of which is measured
    policy = train(changed(CONFIG, episodes=1), MARKET).policy.members[0]
    curve = HeldOutCurve(config, bars(90), FeatureStatistics.fit(MARKET, config.environment), policy)
    blocks = [np.full((16, 4), 0.01), np.full((16, 4), 0.03)]
    found = [curve.add(Iteration(number, 0, {}, block), policy) for number, block in enumerate(blocks, start=1)]
    assert found[0] is None
    assert found[1] is not None
    assert found[1].training == pytest.approx(24 * 0.02)


@pytest.mark.parametrize("num_envs", [1, 32, 256, 4096])
def test_decisions_are_few_compared_with_training_steps(num_envs):
    config = changed(TrainingConfig(), ppo__num_envs=num_envs, ppo__minibatch_size=32)
    market = bars(5000)
    policy = Policy.create(PolicyShape(11, 3, 0, (64, 64), False, True))
    curve = HeldOutCurve(config, market, FeatureStatistics.fit(market, config.environment), policy)
    assert curve._episodes is not None
    decisions = 24 * len(curve._episodes.starts) * curve._episodes.length
    vector_steps = 2 * 512
    assert 0.1 * num_envs * vector_steps < decisions <= (num_envs / 5 + 1) * vector_steps
