"""Small environments with a known best policy or known observations, for the tests of PPO."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv


class Probe(VectorEnv):
    """Episodes of `length` steps. An observation is [sign, step]; the sign, 1 or -1, is drawn at each step.

    `reward(sign, step, action)` takes arrays, [num_envs]. Actions are -1 and 1, so that they do not begin at 0.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, reward: Any, length: int = 1, num_envs: int = 16) -> None:
        self.num_envs, self.length, self.reward = num_envs, length, reward
        self.single_observation_space = Box(-np.inf, np.inf, (2,))
        self.single_action_space = Discrete(2, start=-1)

    def _observe(self) -> np.ndarray:
        self.sign = self.np_random.choice([-1.0, 1.0], self.num_envs)
        return np.stack([self.sign, self.step_index], axis=1).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.step_index = np.zeros(self.num_envs)
        return self._observe(), {}

    def step(self, actions: np.ndarray) -> Any:
        reward = self.reward(self.sign, self.step_index, 2.0 * actions + 1.0) * np.ones(self.num_envs)
        self.step_index += 1
        terminated = self.step_index >= self.length
        self.step_index[terminated] = 0
        return self._observe(), reward, terminated, np.zeros_like(terminated), {}


class Counter(gymnasium.Env):
    """Observes [episode, step] after any action. The reward is 1. The episode ends or is truncated after `length`."""

    def __init__(self, length: int, cut_off: bool) -> None:
        self.observation_space = Box(-np.inf, np.inf, (2,))
        self.action_space = Discrete(2)
        self.length, self.cut_off, self.episode = length, cut_off, 0

    def _observe(self) -> np.ndarray:
        return np.array([self.episode, self.count], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        self.episode += 1
        return self._observe(), {}

    def step(self, action: int) -> Any:
        self.count += 1
        end = self.count >= self.length
        return self._observe(), 1.0, end and not self.cut_off, end and self.cut_off, {}


def counters(mode: AutoresetMode, ends: list[tuple[int, bool]]) -> SyncVectorEnv:
    """Return a Counter for each (length, cut_off). Each step overwrites the buffer of the observations."""
    return SyncVectorEnv([partial(Counter, *end) for end in ends], copy=False, autoreset_mode=mode)
