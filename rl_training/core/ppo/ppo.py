"""Proximal policy optimisation, in the order of the algorithm: rollout, advantages, minibatches, gradient step.

Schulman et al., "Proximal Policy Optimization Algorithms" (2017), arXiv:1707.06347, algorithm 1. The falling
learning rate, the shuffled minibatches and the clipped gradient norm are details 4, 6 and 11 of Huang et al., "The 37
Implementation Details of Proximal Policy Optimization" (2022), ICLR blog track.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from rl_training.core.config import PPOConfig
from rl_training.core.ppo.adam import Adam
from rl_training.core.ppo.compute import Gradient, compute_for
from rl_training.core.ppo.networks import flatten_parameters
from rl_training.core.ppo.normalisation import RewardScaler
from rl_training.core.ppo.objective import Batch, explained_variance, generalised_advantages
from rl_training.core.ppo.policy import Policy, PolicyShape, part_of
from rl_training.core.ppo.rollout import EpisodeRecord, Rollout, Sampler

# Parameters of actor and critic together. With fewer, a few processor cores are as fast as a large GPU, as measured in
# docs/performance.md.
LEAST_CUDA_PARAMETERS = 2**16
EPISODES_AVERAGED = 100  # as in stable-baselines3's rollout/ep_rew_mean
# The metrics of a minibatch, in the order in which Compute.gradient() returns them.
MINIBATCH_METRICS = (
    "train/policy_gradient_loss",
    "train/value_loss",
    "train/entropy_loss",
    "train/approx_kl",
    "train/clip_fraction",
)
APPROX_KL = MINIBATCH_METRICS.index("train/approx_kl")


class DivergedError(RuntimeError):
    """A quantity of the training is not finite, so the weights cannot be used."""


@dataclass(frozen=True)
class Iteration:
    """The result of one rollout and the update on it.

    iteration  number of this iteration, from 1, over all calls of learn()
    timesteps  environment steps made so far
    metrics    named as in stable-baselines3; rollout/* are missing until an episode has finished
    rewards    float64 [steps, num_envs], as the environment returned them
    """

    iteration: int
    timesteps: int
    metrics: dict[str, float]
    rewards: npt.NDArray[np.float64]


class PPO:
    """PPO with a separate actor and critic on a vector environment.

    env      a gymnasium.vector.VectorEnv of `config.num_envs` environments with Box observations and Discrete actions,
             in any autoreset mode (see rollout.Sampler)
    config   the hyperparameters; the value loss is the mean square, as in stable-baselines3 (CleanRL halves it)
    seed     seed of the one torch.Generator from which weights, actions, minibatches and environment seeds are drawn;
             no global random state is read or changed
    threads  processor threads to compute with; results do not depend on their number to the bit, except for networks
             that torch computes (see compute.compute_for)

    Raises TypeError or ValueError if the environment does not fit the config, or the config's device is missing.
    """

    def __init__(
        self, env: gymnasium.vector.VectorEnv[Any, Any, Any], config: PPOConfig, seed: int, threads: int = 1
    ) -> None:
        actions = check_environment(env, config)
        self.config = config
        self.generator = torch.Generator().manual_seed(seed)
        self.sampler = Sampler(env, config.rollout_length)
        shape = PolicyShape(
            observation_size=self.sampler.size,
            action_count=int(actions.n),
            first_action=int(actions.start),
            hidden_sizes=tuple(config.hidden_sizes),
            normalises_observations=config.normalize_observations,
            normalises_rewards=config.normalize_rewards,
        )
        self.policy = Policy.create(shape, self.generator)
        self.device = choose_device(config.device, sum(part.numel() for part in self.policy.network.parameters()))
        self.policy.network.to(self.device)
        self.parameters = flatten_parameters(self.policy.network)
        self.compute = compute_for(self.policy.network, self.parameters, config, threads)
        self.optimizer = Adam(self.parameters)
        self.scaler = RewardScaler(self.policy.rewards, env.num_envs, config.gamma) if self.policy.rewards else None
        self.episodes = EpisodeRecord(env.num_envs, EPISODES_AVERAGED)
        self.timesteps = self.iteration = 0
        self._log_probs = np.empty((config.rollout_length, env.num_envs), np.float32)

    def predict(self, observations: npt.ArrayLike, deterministic: bool = True) -> npt.NDArray[np.int64]:
        """Return actions for observations; see Policy.predict()."""
        return self.policy.predict(observations, deterministic)

    def learn(self, total_timesteps: int, on_iteration: Callable[[Iteration], bool | None] | None = None) -> None:
        """Train up to `total_timesteps` environment steps in total, rounded up to a multiple of num_envs.

        Steps in a state restored by load_state_dict() count. With `anneal_learning_rate`, the learning rate
        falls linearly to 0 over the total. Learning ends early when `on_iteration` returns False. Raises DivergedError.
        """
        started, before = time.perf_counter(), self.timesteps
        num_envs = self.sampler.env.num_envs
        while self.timesteps < total_timesteps:
            if self.sampler.observation is None:
                self.sampler.reset(int(torch.randint(2**31, (), generator=self.generator)))
            steps = min(self.config.rollout_length, math.ceil((total_timesteps - self.timesteps) / num_envs))
            remaining = 1.0 - self.timesteps / total_timesteps
            learning_rate = self.config.learning_rate * (remaining if self.config.anneal_learning_rate else 1.0)

            rollout = self.collect(steps)
            batch, metrics = self.estimate(rollout)
            metrics |= self.update(batch, learning_rate)
            if self.policy.observations is not None:
                self.policy.observations.update(rollout.observations[rollout.valid])

            self.episodes.record(rollout)
            self.timesteps += steps * num_envs
            self.iteration += 1
            metrics["time/fps"] = (self.timesteps - before) / (time.perf_counter() - started)
            metrics |= self.episodes.metrics()
            iteration = Iteration(self.iteration, self.timesteps, metrics, rollout.rewards.copy())
            if on_iteration is not None and on_iteration(iteration) is False:
                return

    def collect(self, steps: int) -> Rollout:
        """Follow the policy for `steps` steps in each environment. Raises DivergedError."""
        uniform = torch.rand(steps, self.sampler.env.num_envs, generator=self.generator).numpy()

        def act(step: int, observations: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
            inputs = self.policy.inputs(torch.from_numpy(observations)).numpy()
            actions, self._log_probs[step] = self.compute.act(inputs, uniform[step])
            return actions

        rollout = self.sampler.collect(steps, act)
        for observations in (rollout.observations, rollout.last, rollout.cut_observations):
            self._check_finite("observation", observations)
        self._check_finite("reward", rollout.rewards)
        return rollout

    def estimate(self, rollout: Rollout) -> tuple[Batch, dict[str, float]]:
        """Return the rollout's valid steps with their advantages and returns, and the critic's explained variance.

        The value after a step is the value of the next row's observation, unless the next row belongs to another
        episode: then it is the value of the true last observation. Raises DivergedError.
        """
        steps = len(rollout.rewards)
        inputs = self._inputs(rollout.observations.reshape(-1, rollout.observations.shape[2]))
        values = self._values(inputs).reshape(rollout.rewards.shape)
        next_values = np.concatenate([values[1:], self._values(self._inputs(rollout.last))[None]])
        if len(rollout.cut_steps):
            cut = self._values(self._inputs(rollout.cut_observations))
            next_values[rollout.cut_steps, rollout.cut_envs] = cut
        rewards = rollout.rewards
        if self.scaler is not None:
            rewards = self.scaler(rewards, rollout.ended, rollout.valid)
            self._check_finite("variance of returns", self.scaler.statistics.variance)
        advantages = generalised_advantages(
            rewards, values, next_values, rollout.terminated, rollout.ended, self.config.gamma, self.config.gae_lambda
        )
        returns = advantages + values
        batch = Batch(
            inputs,
            torch.from_numpy(rollout.actions).flatten().to(self.device),
            torch.from_numpy(self._log_probs[:steps]).flatten().to(self.device),
            torch.from_numpy(advantages).float().flatten().to(self.device),
            torch.from_numpy(returns).float().flatten().to(self.device),
        )
        valid = rollout.valid
        if not valid.all():
            batch = batch.take(torch.from_numpy(np.flatnonzero(valid)).to(self.device))
        return batch, {"train/explained_variance": explained_variance(values[valid], returns[valid])}

    def update(self, batch: Batch, learning_rate: float) -> dict[str, float]:
        """Make `epochs` passes over the batch in shuffled minibatches of nearly equal size, and return mean metrics.

        Passing 1.5 x target_kl ends the update, as in stable-baselines3. Raises DivergedError.
        """
        minibatches = math.ceil(len(batch) / self.config.minibatch_size)
        reports: list[Tensor] = []
        gradient = self.compute.gradient(batch)
        # In a short rollout every environment may be restarting: the batch is then empty, and no step is made.
        for _ in range(self.config.epochs if len(batch) else 0):
            order = torch.randperm(len(batch), generator=self.generator).to(self.device)
            if not all(self.step(gradient, rows, learning_rate, reports) for rows in order.tensor_split(minibatches)):
                break
        means = torch.stack(reports).mean(0).tolist() if reports else []
        metrics = dict(zip(MINIBATCH_METRICS, means, strict=False))
        for name, value in metrics.items():
            self._check_finite(name, np.array(value))
        self._check_finite("weights", self.parameters.values.cpu().numpy())
        return {"train/learning_rate": learning_rate, **metrics}

    def step(self, gradient: Gradient, rows: Tensor, learning_rate: float, reports: list[Tensor]) -> bool:
        """Step along the gradient of both losses over `rows`, and append their metrics to `reports`.

        Return False, without a step, if approx_kl is above 1.5 x target_kl.
        """
        report = gradient(rows)
        reports.append(report)
        if self.config.target_kl and report[APPROX_KL] > 1.5 * self.config.target_kl:
            return False
        self.optimizer.step(learning_rate, self.config.max_grad_norm)
        return True

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that a bit-identical continuation needs but the environment's state, which the caller saves."""
        state = {f"policy.{name}": tensor for name, tensor in self.policy.tensors().items()}
        state |= {f"adam.{name}": tensor for name, tensor in self.optimizer.state_dict().items()}
        state |= {f"sampler.{name}": tensor for name, tensor in self.sampler.state_dict().items()}
        state |= {f"episodes.{name}": tensor for name, tensor in self.episodes.state_dict().items()}
        if self.scaler is not None:
            state["returns"] = torch.from_numpy(self.scaler.returns.copy())
        state["generator"] = self.generator.get_state()
        state["progress"] = torch.tensor([self.timesteps, self.iteration])
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the state_dict() of a PPO with the same environment and config."""
        self.policy.load_tensors(part_of(state, "policy"))
        self.optimizer.load_state_dict(part_of(state, "adam"))
        self.sampler.load_state_dict(part_of(state, "sampler"))
        self.episodes.load_state_dict(part_of(state, "episodes"))
        if self.scaler is not None:
            self.scaler.returns = state["returns"].numpy().copy()
        self.generator.set_state(state["generator"])
        self.timesteps, self.iteration = state["progress"].tolist()

    def start_from(self, policy: Policy) -> None:
        """Copy the weights and running statistics of a policy. Raises ValueError if its shape differs."""
        self.policy.load_tensors(policy.tensors())

    def _inputs(self, observations: npt.NDArray[np.float32]) -> Tensor:
        return self.policy.inputs(torch.from_numpy(observations)).to(self.device)

    def _values(self, inputs: Tensor) -> npt.NDArray[np.float64]:
        return self.compute.values(inputs).cpu().double().numpy()

    def _check_finite(self, what: str, values: npt.NDArray[np.floating]) -> None:
        if not np.isfinite(values).all():
            raise DivergedError(
                f"iteration {self.iteration + 1}: {what} is not finite; the weights cannot be used. "
                "Look for extreme rewards or observations, or lower learning_rate"
            )


def check_environment(env: gymnasium.vector.VectorEnv[Any, Any, Any], config: PPOConfig) -> Discrete:
    """Return the environment's action space. Raises TypeError or ValueError if PPO cannot run on the environment."""
    if not isinstance(env.single_observation_space, Box):
        raise TypeError(f"observation space: Box is needed, got {env.single_observation_space}")
    if not isinstance(env.single_action_space, Discrete):
        raise TypeError(f"action space: Discrete is needed, got {env.single_action_space}")
    if env.num_envs != config.num_envs:
        raise ValueError(f"num_envs: the config says {config.num_envs}, the environment has {env.num_envs}")
    return env.single_action_space


def choose_device(name: str, parameters: int) -> torch.device:
    """Return the device to train networks of this many parameters on.

    `name` is cpu, cuda or auto. auto is CUDA if the machine has it and the networks are large enough to gain from it.
    Raises ValueError if cuda is required and missing.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda is required, but torch finds no CUDA device here; use auto or cpu")
    gains = name == "auto" and parameters >= LEAST_CUDA_PARAMETERS and torch.cuda.is_available()
    return torch.device("cuda" if name == "cuda" or gains else "cpu")
