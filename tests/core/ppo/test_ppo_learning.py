import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode

from rl_training.core.config import PPOConfig
from rl_training.core.ppo.ppo import PPO
from tests.core.ppo.ppo_cases import PROBE, Shown, signed_action
from tests.counting import Probe, counters


def solve(reward, length=1, steps=10_000):
    ppo = PPO(Probe(reward, length), PROBE, seed=1)
    ppo.learn(steps)
    return ppo


def values(ppo, observations):
    with torch.no_grad():
        return ppo.policy.network.values(torch.tensor(observations, dtype=torch.float32)).tolist()


def test_probe_1_critic_learns_a_constant():
    ppo = solve(lambda sign, step, action: 1.0)
    assert values(ppo, [[-1, 0], [1, 0]]) == pytest.approx([1.0, 1.0], abs=0.02)


def test_probe_2_critic_learns_to_read_the_observation():
    ppo = solve(lambda sign, step, action: sign)
    assert values(ppo, [[-1, 0], [1, 0]]) == pytest.approx([-1.0, 1.0], abs=0.02)


def test_probe_3_critic_discounts_a_delayed_reward():
    ppo = solve(lambda sign, step, action: step == 1, length=2)
    assert values(ppo, [[1, 0], [1, 1]]) == pytest.approx([0.5, 1.0], abs=0.03)


def test_probe_4_actor_learns_the_better_action():
    ppo = solve(lambda sign, step, action: action)
    assert ppo.predict([[-1, 0], [1, 0]]).tolist() == [0, 0]
    assert values(ppo, [[-1, 0], [1, 0]]) == pytest.approx([1.0, 1.0], abs=0.05)


def test_probe_5_actor_learns_the_action_that_fits_the_observation():
    ppo = solve(signed_action)
    assert ppo.predict([[-1, 0], [1, 0]]).tolist() == [-1, 0]
    assert values(ppo, [[-1, 0], [1, 0]]) == pytest.approx([1.0, 1.0], abs=0.05)


class NothingShown(gymnasium.vector.VectorWrapper):
    """Replaces observations by ones, so that they do not show how long the episode still is."""

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return np.ones_like(observation), info

    def step(self, actions):
        observation, *rest, info = self.env.step(actions)
        info = {name: [np.ones(2)] * self.num_envs if name == "final_obs" else value for name, value in info.items()}
        return np.ones_like(observation), *rest, {**info, "final_obs": np.ones((self.num_envs, 2))}


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("length", [1, 7, 100])
def test_time_limit_does_not_lower_the_value_of_endless_reward(mode, length):
    config = PPOConfig(
        num_envs=4,
        rollout_length=32,
        minibatch_size=64,
        learning_rate=0.1,
        gamma=0.9,
        hidden_sizes=[8],
        normalize_rewards=False,
        device="cpu",
    )
    ppo = PPO(NothingShown(counters(mode, [(length, True)] * 4)), config, seed=1)
    ppo.learn(128 * 50)
    assert values(ppo, [[1, 1]]) == pytest.approx([10.0], rel=0.02)


def test_observations_of_any_shape_and_type_are_flattened():
    env = Probe(lambda sign, step, action: action)
    env.single_observation_space = Box(0, 255, (3, 2), np.uint8)
    pictures = Shown(env, lambda observation: np.tile(observation[:, None, :] > 0, (1, 3, 1)).astype(np.uint8))
    ppo = PPO(pictures, PROBE, seed=1)
    ppo.learn(2000)
    assert ppo.predict(np.zeros((5, 3, 2), np.uint8)).tolist() == [0] * 5
