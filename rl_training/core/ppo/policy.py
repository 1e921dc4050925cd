"""A policy as it is used and saved: observations in, actions out."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rl_training.core.ppo.networks import ActorCritic, draw
from rl_training.core.ppo.normalisation import ObservationNormaliser, RunningStatistics


@dataclass(frozen=True)
class PolicyShape:
    """What has to be equal for one policy's weights to serve as another's.

    observation_size      numbers in one observation, flattened
    action_count          actions, of which the first is numbered `first_action` in the environment
    hidden_sizes          units per hidden layer, of actor and critic each
    normalises_observations, normalises_rewards
                          whether running statistics come with the weights
    """

    observation_size: int
    action_count: int
    first_action: int
    hidden_sizes: tuple[int, ...]
    normalises_observations: bool
    normalises_rewards: bool


@dataclass(frozen=True)
class Policy:
    """Networks with the statistics of their inputs. `rewards` is not needed to act: training goes on from it."""

    shape: PolicyShape
    network: ActorCritic
    observations: ObservationNormaliser | None
    rewards: RunningStatistics | None
    generator: torch.Generator

    @classmethod
    def create(cls, shape: PolicyShape, generator: torch.Generator | None = None) -> Self:
        """An untrained policy on the CPU, its weights drawn from `generator`.

        It draws its own random actions from another generator, so that asking for them does not alter training.
        """
        generator = generator or torch.Generator().manual_seed(0)
        return cls(
            shape=shape,
            network=ActorCritic(shape.observation_size, shape.action_count, shape.hidden_sizes, generator),
            observations=ObservationNormaliser(shape.observation_size) if shape.normalises_observations else None,
            rewards=RunningStatistics(1) if shape.normalises_rewards else None,
            generator=torch.Generator().manual_seed(generator.initial_seed()),
        )

    def predict(self, observations: npt.ArrayLike, deterministic: bool = True) -> npt.NDArray[np.int64]:
        """Actions for observations, [n, ...] -> [n], or for a single one, [...] -> [] (a scalar array).

        The most probable action, or a random draw where not `deterministic`. Raises ValueError on another size.
        """
        rows = np.asarray(observations, dtype=np.float32)
        size = self.shape.observation_size
        if rows.size % size or rows.size == 0 or (rows.ndim == 1 and rows.size != size):
            raise ValueError(f"observations of shape {rows.shape}: this policy observes {size} numbers")
        with torch.inference_mode():
            logits = self.logits(torch.from_numpy(rows.reshape(-1, size)))
            if deterministic:
                chosen = logits.argmax(1)
            else:
                chosen = draw(logits, torch.rand(len(logits), generator=self.generator))
            actions: npt.NDArray[np.int64] = chosen.numpy() + self.shape.first_action
        return actions.reshape(()) if rows.size == size and rows.ndim == 1 else actions

    @property
    def actor_parameters(self) -> int:
        """How many numbers it takes to act."""
        return sum(parameter.numel() for parameter in self.network.actor.parameters())

    def logits(self, observations: Tensor) -> Tensor:
        """[n, observation_size] -> [n, action_count], both on the CPU, wherever the network is."""
        return self.network.logits(self.inputs(observations).to(self.network.device)).cpu()

    def inputs(self, observations: Tensor) -> Tensor:
        """Observations as the networks take them: standardised, if this policy does that."""
        return observations if self.observations is None else self.observations(observations)

    def tensors(self) -> dict[str, Tensor]:
        """Copies, on the CPU, of everything that was learnt."""
        parts: dict[str, Any] = {"network": self.network, "observations": self.observations, "rewards": self.rewards}
        return {
            f"{part}.{name}": tensor.detach().cpu().clone()
            for part, module in parts.items()
            if module is not None
            for name, tensor in module.state_dict().items()
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take over what tensors() of a policy of the same shape returned; ValueError names what does not fit."""
        expected = {name: (tensor.dtype, tensor.shape) for name, tensor in self.tensors().items()}
        found = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
        if found != expected:
            wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            raise ValueError(f"tensors do not fit the policy: {', '.join(wrong)}")
        for part, module in (("network", self.network), ("observations", self.observations), ("rewards", self.rewards)):
            if module is not None:
                module.load_state_dict(part_of(tensors, part))


def part_of(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors whose names start with `part` and a dot, without it."""
    return {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
