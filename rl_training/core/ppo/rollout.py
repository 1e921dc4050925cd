"""Rollouts of a vector environment as arrays, the same in each mode of restarting ended episodes."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import AutoresetMode

Observations = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rollout:
    """`steps` steps in each of `num_envs` environments. The next rollout overwrites the arrays.

    observations  float32 [steps, num_envs, size]: the actions were chosen from them
    actions       int64 [steps, num_envs], counted from 0
    rewards       float64 [steps, num_envs], as the environment returned them
    terminated    bool [steps, num_envs]: the episode is over, and no reward follows
    ended         bool [steps, num_envs]: terminated, or truncated by a time limit
    valid         bool [steps, num_envs]: False where the environment ignored the action because it was restarting
    last          float32 [num_envs, size]: the observations after the last step
    cut_steps, cut_envs
                  int64 [cuts]: the steps and environments of truncated episodes after which the next row of
                  `observations` already belongs to the next episode
    cut_observations
                  float32 [cuts, size]: the true last observations of these episodes
    """

    observations: Observations
    actions: npt.NDArray[np.int64]
    rewards: npt.NDArray[np.float64]
    terminated: Flags
    ended: Flags
    valid: Flags
    last: Observations
    cut_steps: npt.NDArray[np.int64]
    cut_envs: npt.NDArray[np.int64]
    cut_observations: Observations


class Sampler:
    """Steps a vector environment and records the steps in buffers that are allocated once.

    env    a vector environment in any mode of restarting ended episodes (`metadata["autoreset_mode"]`, a
           gymnasium.vector.AutoresetMode); without that key, NEXT_STEP is assumed, as gymnasium's own wrappers do
    steps  the most steps of one rollout

    NEXT_STEP  the step after an episode's last one ignores its action and returns the next episode's first observation
    SAME_STEP  the last step returns the next episode's first observation, and the true last one in info["final_obs"]
    DISABLED   the sampler restarts the environments by reset(options={"reset_mask": ...})
    """

    def __init__(self, env: gymnasium.vector.VectorEnv[Any, Any, Any], steps: int) -> None:
        self.env = env
        self.mode = AutoresetMode(env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self.observation: Observations | None = None
        self.restarting: Flags = np.zeros(env.num_envs, dtype=np.bool_)
        self.size = int(np.prod(env.single_observation_space.shape or (1,)))
        self.first_action = int(getattr(env.single_action_space, "start", 0))
        shape = (steps, env.num_envs)
        self._observations = np.empty((*shape, self.size), dtype=np.float32)
        self._actions = np.empty(shape, dtype=np.int64)
        self._rewards = np.empty(shape, dtype=np.float64)
        self._terminated, self._ended, self._valid = (np.empty(shape, dtype=np.bool_) for _ in range(3))

    def reset(self, seed: int) -> None:
        """Begin an episode in every environment."""
        observation, _ = self.env.reset(seed=seed)
        self.observation = self._flat(observation)
        self.restarting = np.zeros(self.env.num_envs, dtype=np.bool_)

    def state_dict(self) -> dict[str, torch.Tensor]:
        if self.observation is None:
            return {}
        return {
            "observation": torch.from_numpy(self.observation.copy()),
            "restarting": torch.from_numpy(self.restarting.copy()),
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.observation = state["observation"].numpy().copy() if state else None
        if state:
            self.restarting = state["restarting"].numpy().copy()

    def _flat(self, observation: Any) -> Observations:
        return np.array(observation, dtype=np.float32, order="C").reshape(-1, self.size)

    def collect(self, steps: int, act: Callable[[int, Observations], npt.NDArray[np.int64]]) -> Rollout:
        """Make `steps` steps with the actions, int64 [num_envs] from 0, that `act(step, observations)` returns.

        Raises RuntimeError before reset(), and ValueError if an environment in SAME_STEP mode gives no final_obs.
        """
        observation = self.observation
        if observation is None:
            raise RuntimeError("the environment has not been reset")
        cuts: list[tuple[int, npt.NDArray[np.int64], Observations]] = []
        for step in range(steps):
            self._observations[step] = observation
            self._valid[step] = ~self.restarting
            self._actions[step] = actions = act(step, self._observations[step])
            following, rewards, terminated, truncated, info = self.env.step(actions + self.first_action)
            self._rewards[step], self._terminated[step] = rewards, terminated
            self._ended[step] = ended = terminated | truncated
            if self.mode is AutoresetMode.NEXT_STEP:
                self.restarting = ended
            elif ended.any():
                envs = np.flatnonzero(truncated & ~terminated)
                cuts.append((step, envs, self._true_last(following, info, envs)))
                if self.mode is AutoresetMode.DISABLED:
                    following, _ = self.env.reset(options={"reset_mask": np.array(ended, dtype=np.bool_)})
            observation = self._flat(following)
        self.observation = observation
        self._rewards[:steps][~self._valid[:steps]] = 0.0
        return self._rollout(steps, observation, cuts)

    def _true_last(self, following: Any, info: dict[str, Any], envs: npt.NDArray[np.int64]) -> Observations:
        if not len(envs):
            return np.empty((0, self.size), dtype=np.float32)
        if self.mode is AutoresetMode.DISABLED:
            return self._flat(np.asarray(following)[envs])
        if "final_obs" not in info:
            raise ValueError(
                f"{self.env} restarts an ended episode in the same step but gives no info['final_obs'], "
                "the true last observation, which gives a truncated episode's value"
            )
        return self._flat(np.stack(list(info["final_obs"][envs])))

    def _rollout(
        self, steps: int, last: Observations, cuts: list[tuple[int, npt.NDArray[np.int64], Observations]]
    ) -> Rollout:
        return Rollout(
            observations=self._observations[:steps],
            actions=self._actions[:steps],
            rewards=self._rewards[:steps],
            terminated=self._terminated[:steps],
            ended=self._ended[:steps],
            valid=self._valid[:steps],
            last=last,
            cut_steps=np.concatenate([np.full(len(envs), step) for step, envs, _ in cuts] or [np.empty(0, np.int64)]),
            cut_envs=np.concatenate([envs for _, envs, _ in cuts] or [np.empty(0, np.int64)]),
            cut_observations=np.concatenate([rows for _, _, rows in cuts] or [np.empty((0, self.size), np.float32)]),
        )


class EpisodeRecord:
    """The sums of rewards and the numbers of steps of the last `kept` finished episodes."""

    def __init__(self, num_envs: int, kept: int) -> None:
        self.returns = np.zeros(num_envs)
        self.lengths = np.zeros(num_envs, dtype=np.int64)
        self.finished: deque[tuple[float, float]] = deque(maxlen=kept)

    def record(self, rollout: Rollout) -> None:
        """Add a rollout's steps; an episode may begin in one rollout and end in a later one."""
        for rewards, ended, valid in zip(rollout.rewards, rollout.ended, rollout.valid, strict=True):
            self.returns += rewards
            self.lengths += valid
            if ended.any():
                self.finished.extend(zip(self.returns[ended].tolist(), self.lengths[ended].tolist(), strict=True))
                self.returns[ended] = 0.0
                self.lengths[ended] = 0

    def metrics(self) -> dict[str, float]:
        """Return means over the finished episodes, named as in stable-baselines3; empty before the first."""
        if not self.finished:
            return {}
        mean_return, mean_length = np.mean(self.finished, axis=0).tolist()
        return {"rollout/ep_rew_mean": mean_return, "rollout/ep_len_mean": mean_length}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {
            "returns": torch.from_numpy(self.returns.copy()),
            "lengths": torch.from_numpy(self.lengths.copy()),
            "finished": torch.tensor(list(self.finished), dtype=torch.float64).reshape(-1, 2),
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.returns = state["returns"].numpy().copy()
        self.lengths = state["lengths"].numpy().copy()
        self.finished.clear()
        self.finished.extend((total, length) for total, length in state["finished"].tolist())
