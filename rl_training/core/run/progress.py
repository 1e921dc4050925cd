"""The progress of a run, episode by episode, and the state that its checkpoint holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_training.core.ppo.policy import part_of
from rl_training.core.ppo.ppo import PPO, Iteration
from rl_training.core.trading.environment import TradingVectorEnv

# The name of the episode rewards among the tensors of a checkpoint.
EPISODE_REWARDS = "tally.episode_rewards"


@dataclass(frozen=True)
class Progress:
    """A finished episode, number `episode` of `episodes`, counted from 1.

    `avg_reward` is the mean over this and all earlier episodes. The losses are means over all iterations so far.
    `metrics` are those of the iteration `iteration`, in which the episode ended, named as in curves.METRICS.
    """

    episode: int
    episodes: int
    episode_reward: float
    avg_reward: float
    environment_steps: int
    policy_loss: float
    value_loss: float
    iteration: int
    metrics: dict[str, float]


@dataclass
class Tally:
    """Sums over the iterations of a run so far.

    An episode is `episode_length` steps in every environment. Its reward is the mean, over environments, of the sum of
    rewards. If an account is ruined earlier, the environment begins again and its rewards still count.
    """

    episode_length: int
    episode_rewards: list[float] = field(default_factory=list)
    reward: float = 0.0
    steps: int = 0
    iterations: int = 0
    policy_loss: float = 0.0
    value_loss: float = 0.0

    def add(self, iteration: Iteration) -> None:
        self.iterations += 1
        self.policy_loss += iteration.metrics["train/policy_gradient_loss"]
        self.value_loss += iteration.metrics["train/value_loss"]
        for reward in iteration.rewards.mean(axis=1).tolist():
            self.reward += reward
            self.steps += 1
            if self.steps == self.episode_length:
                self.episode_rewards.append(self.reward)
                self.reward, self.steps = 0.0, 0

    @property
    def mean_losses(self) -> tuple[float, float]:
        """The mean losses of the policy and of the critic over the iterations; 0 before the first iteration."""
        iterations = max(self.iterations, 1)
        return self.policy_loss / iterations, self.value_loss / iterations


def capture(ppo: PPO, env: TradingVectorEnv, tally: Tally) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return everything that a bit-identical continuation needs: tensors, and the rest as values for JSON."""
    tensors, rest = split_arrays("environment", env.state_dict())
    tensors |= {f"ppo.{name}": tensor for name, tensor in ppo.state_dict().items()}
    # One number for each episode: as JSON, 100,000 of them take 2.4 MB and 0.2 s in every checkpoint.
    tensors[EPISODE_REWARDS] = torch.tensor(tally.episode_rewards, dtype=torch.float64)
    sums = {name: value for name, value in vars(tally).items() if name != "episode_rewards"}
    return tensors, {"environment": rest, "tally": sums}


def restore(ppo: PPO, env: TradingVectorEnv, tensors: dict[str, Tensor], state: Mapping[str, Any]) -> Tally:
    """Restore `ppo` and `env` from a state of capture(). Return the tally."""
    ppo.load_state_dict(part_of(tensors, "ppo"))
    env.load_state_dict(join_arrays("environment", tensors, state["environment"]))
    sums = dict(state["tally"])
    # A checkpoint of format 2 holds the rewards among the sums.
    rewards = sums.pop("episode_rewards", None)
    return Tally(**sums, episode_rewards=tensors[EPISODE_REWARDS].tolist() if rewards is None else rewards)


def split_arrays(name: str, value: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the arrays of a nested mapping as tensors, named by their path, and the mapping without them."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, np.ndarray):
            tensors[f"{name}.{key}"] = torch.from_numpy(entry.copy())
        elif isinstance(entry, Mapping):
            inner, rest[key] = split_arrays(f"{name}.{key}", entry)
            tensors |= inner
        else:
            rest[key] = entry
    return tensors, rest


def join_arrays(name: str, tensors: dict[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping that split_arrays() divided."""
    whole = {
        key: join_arrays(f"{name}.{key}", tensors, entry) if isinstance(entry, Mapping) else entry
        for key, entry in rest.items()
    }
    for key, tensor in part_of(tensors, name).items():
        if "." not in key:
            whole[key] = tensor.numpy()
    return whole
