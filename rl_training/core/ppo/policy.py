"""A policy, which takes observations and returns actions, in the form that is evaluated and saved."""

from collections.abc import Callable
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
    """The properties that two policies must share to exchange weights.

    observation_size         numbers in one flattened observation
    action_count             number of actions
    first_action             number of the first action in the environment
    hidden_sizes             units in each hidden layer, the same for actor and critic
    normalises_observations  whether running statistics of observations belong to the policy
    normalises_rewards       whether running statistics of rewards belong to the policy
    """

    observation_size: int
    action_count: int
    first_action: int
    hidden_sizes: tuple[int, ...]
    normalises_observations: bool
    normalises_rewards: bool


@dataclass(frozen=True)
class Policy:
    """Networks with the running statistics of their inputs. `rewards` is needed to continue training, not to act."""

    shape: PolicyShape
    network: ActorCritic
    observations: ObservationNormaliser | None
    rewards: RunningStatistics | None
    generator: torch.Generator

    @classmethod
    def create(cls, shape: PolicyShape, generator: torch.Generator | None = None) -> Self:
        """Return an untrained policy on the CPU, with weights drawn from `generator`.

        predict() draws random actions from a second generator, so that calls of predict() do not change the training.
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
        """Return an action for each observation, [n, ...] -> [n], or for one observation, [...] -> [] (a scalar array).

        Actions are the most probable ones, or drawn at random if not `deterministic`. Raises ValueError if an
        observation's size is not the policy's.
        """
        return choose_actions(lambda rows: self._choose(rows, deterministic), self.shape, observations)

    def _choose(self, observations: Tensor, deterministic: bool) -> Tensor:
        logits = self.logits(observations)
        if deterministic:
            return logits.argmax(1)
        return draw(logits, torch.rand(len(logits), generator=self.generator))

    @property
    def members(self) -> "tuple[Policy, ...]":
        """Return the policy itself, as the only member; see Ensemble."""
        return (self,)

    @property
    def actor_parameters(self) -> int:
        """Return the number of the actor's parameters."""
        return sum(parameter.numel() for parameter in self.network.actor.parameters())

    def logits(self, observations: Tensor) -> Tensor:
        """Return the actor's logits, [n, action_count], for observations, [n, observation_size], both on the CPU."""
        return self.network.logits(self.inputs(observations).to(self.network.device)).cpu()

    def inputs(self, observations: Tensor) -> Tensor:
        """Return the networks' inputs for observations: standardised if the policy normalises them, else unchanged."""
        return observations if self.observations is None else self.observations(observations)

    def tensors(self) -> dict[str, Tensor]:
        """Return copies, on the CPU, of all weights and running statistics."""
        parts: dict[str, Any] = {"network": self.network, "observations": self.observations, "rewards": self.rewards}
        return {
            f"{part}.{name}": tensor.detach().cpu().clone()
            for part, module in parts.items()
            if module is not None
            for name, tensor in module.state_dict().items()
        }

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore the tensors() of a policy of the same shape. Raises ValueError that names misfits."""
        expected = {name: (tensor.dtype, tensor.shape) for name, tensor in self.tensors().items()}
        found = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
        if found != expected:
            wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            raise ValueError(f"tensors do not fit the policy: {', '.join(wrong)}")
        for part, module in (("network", self.network), ("observations", self.observations), ("rewards", self.rewards)):
            if module is not None:
                module.load_state_dict(part_of(tensors, part))


def choose_actions(
    choose: Callable[[Tensor], Tensor], shape: PolicyShape, observations: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """Return the environment's actions for `observations`, in their shape; see Policy.predict().

    `choose` returns the indices of actions, [n], for observations, float32 [n, observation_size]. Raises ValueError if
    an observation's size is not the policy's.
    """
    rows = np.asarray(observations, dtype=np.float32)
    size = shape.observation_size
    if rows.size % size or rows.size == 0 or (rows.ndim == 1 and rows.size != size):
        raise ValueError(f"observations of shape {rows.shape}: this policy observes {size} numbers")
    with torch.inference_mode():
        chosen = choose(torch.from_numpy(rows.reshape(-1, size)))
        actions: npt.NDArray[np.int64] = chosen.numpy() + shape.first_action
    return actions.reshape(()) if rows.size == size and rows.ndim == 1 else actions


def part_of(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with `part` and a dot, under their names without that prefix."""
    return {name.removeprefix(f"{part}."): tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
