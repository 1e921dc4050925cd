"""stable-baselines3's PPO on an environment of ours, as directly as it can be stepped."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from rl_training.core.config import PPOConfig

Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.int64]]


class SteppedTogether(VecEnv):
    """A gymnasium vector environment that restarts episodes in the same step, as stable-baselines3 wants it."""

    def __init__(self, env: Any) -> None:
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.env = env

    def reset(self) -> npt.NDArray[np.float32]:
        observations, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        return observations

    def step_async(self, actions: npt.NDArray[np.int64]) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        observations, rewards, terminated, truncated, info = self.env.step(self.actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in np.flatnonzero(terminated | truncated):
            infos[index] = {
                "terminal_observation": info["final_obs"][index],
                "TimeLimit.truncated": bool(truncated[index]),
            }
        return observations, rewards.astype(np.float32), terminated | truncated, infos

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class AfterEachRollout(BaseCallback):
    """Ends learning once `go_on` returns False, asked before each rollout but the first."""

    def __init__(self, go_on: Callable[[Predict], bool]) -> None:
        super().__init__()
        self.go_on, self.going_on = go_on, True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps:
            self.going_on = self.going_on and self.go_on(lambda seen: self.model.predict(seen, deterministic=True)[0])

    def _on_step(self) -> bool:
        return self.going_on


def make(env: VecEnv, config: PPOConfig, seed: int) -> PPO:
    """With the hyperparameters of `config`, the learning rate constant and the rewards as they are.

    In one thread of torch, which is the faster for networks of this size.
    """
    torch.set_num_threads(1)
    return PPO(
        "MlpPolicy",
        env,
        learning_rate=config.learning_rate,
        n_steps=config.rollout_length,
        batch_size=config.minibatch_size,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy_coefficient,
        vf_coef=config.value_coefficient,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs={"net_arch": config.hidden_sizes},
        seed=seed,
        device="cpu",
    )


def learn(env: Any, config: PPOConfig, steps: int, seed: int, go_on: Callable[[Predict], bool]) -> None:
    """Learn on a vector environment of ours until `go_on` returns False."""
    model = make(SteppedTogether(env), config, seed)
    callback = AfterEachRollout(go_on)
    model.learn(steps, callback)
    if callback.going_on:
        go_on(lambda seen: model.predict(seen, deterministic=True)[0])
