"""The PPO configs, environments and comparisons that several tests of PPO share."""

from collections.abc import Callable
from typing import Any

import gymnasium
import pytest
import torch

from rl_training.core.config import PPOConfig
from rl_training.core.ppo.ppo import PPO
from tests.counting import Probe

torch.set_num_threads(1)

PROBE = PPOConfig(
    num_envs=16,
    rollout_length=16,
    minibatch_size=64,
    learning_rate=1e-2,
    gamma=0.5,
    hidden_sizes=[16],
    normalize_rewards=False,
    device="cpu",
)
NORMALISING = PROBE.model_copy(update={"normalize_observations": True, "normalize_rewards": True, "gamma": 0.9})
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
ON_CUDA = pytest.param(NORMALISING.model_copy(update={"device": "cuda"}), marks=needs_cuda)


def signed_action(sign: Any, step: Any, action: Any) -> Any:
    """Return the reward of a Probe whose better action equals the sign that it shows."""
    return action * sign


def trained(config: PPOConfig, seed: int, steps: int = 1280, reward: Callable[..., Any] = signed_action) -> PPO:
    """Return a PPO after `steps` environment steps on a Probe with episodes of 5 steps."""
    ppo = PPO(Probe(reward, length=5), config, seed)
    ppo.learn(steps)
    return ppo


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Return whether two states are equal to the bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Shown(gymnasium.vector.VectorWrapper):
    """Replaces each observation by `transform(observation)`."""

    def __init__(self, env: gymnasium.vector.VectorEnv, transform: Callable[[Any], Any]) -> None:
        super().__init__(env)
        self.transform = transform

    def reset(self, **options: Any) -> Any:
        observation, info = self.env.reset(**options)
        return self.transform(observation), info

    def step(self, actions: Any) -> Any:
        observation, *rest = self.env.step(actions)
        return self.transform(observation), *rest
