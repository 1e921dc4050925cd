"""stable-baselines3's PPO on this project's environments."""

import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.requirements import not_installed
from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.trading.environment import TradingEnv, TradingVectorEnv

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as error:
    raise not_installed(error) from None

Observations = npt.NDArray[np.float32]
Predict = Callable[[Observations], npt.NDArray[np.int64]]


class SteppedTogether(VecEnv):
    """Adapts a gymnasium vector environment in SAME_STEP autoreset mode to stable-baselines3's interface."""

    def __init__(self, env: Any) -> None:
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.env = env

    def reset(self) -> Observations:
        observations, _ = self.env.reset(seed=self._seeds[0])
        self._reset_seeds()
        return cast(Observations, observations)

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
    """Calls `go_on` before each rollout except the first, and ends the training once `go_on` returns False."""

    def __init__(self, go_on: Callable[[Predict], bool]) -> None:
        super().__init__()
        self.go_on, self.going_on = go_on, True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps:
            self.going_on = self.going_on and self.go_on(lambda seen: self.model.predict(seen, deterministic=True)[0])

    def _on_step(self) -> bool:
        return self.going_on


def make(env: VecEnv, config: PPOConfig, seed: int) -> PPO:
    """Return stable-baselines3's PPO with the hyperparameters of `config`.

    Its learning rate is constant and its rewards are not scaled. Torch uses one thread in the whole process, which is
    the fastest number for networks of this size.
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
    """Train stable-baselines3's PPO on a vector environment of this project until `go_on` returns False."""
    model = make(SteppedTogether(env), config, seed)
    callback = AfterEachRollout(go_on)
    model.learn(steps, callback)
    if callback.going_on:
        go_on(lambda seen: model.predict(seen, deterministic=True)[0])


def stepped_apart(market: MarketData, environment: EnvironmentConfig, config: PPOConfig) -> VecEnv:
    """Return one TradingEnv per environment, made by make_vec_env() as in stable-baselines3's documentation."""
    return make_vec_env(lambda: TradingEnv(market, environment), n_envs=config.num_envs)


def stepped_together(market: MarketData, environment: EnvironmentConfig, config: PPOConfig) -> VecEnv:
    """Return a TradingVectorEnv, which steps all environments at once."""
    return SteppedTogether(TradingVectorEnv(market, environment, config.num_envs, 0))


def steps_per_second(env: VecEnv, config: PPOConfig, steps: int) -> float:
    """Train stable-baselines3's PPO for `steps` steps, and return its environment steps per second."""
    model = make(env, config, 0)
    started = time.perf_counter()
    model.learn(steps)
    return model.num_timesteps / (time.perf_counter() - started)
