"""Several policies that decide as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rl_training.core.ppo.networks import draw_from
from rl_training.core.ppo.policy import Policy, PolicyShape, choose_actions, part_of

PREFIX = "member"


@dataclass(frozen=True)
class Ensemble:
    """Policies of one shape whose action probabilities are averaged with equal weights.

    Each member standardises observations by its own running statistics. The mean of the members' probabilities is
    computed in float64. Averaging probabilities is the "soft vote" of ensembles of classifiers; Lakshminarayanan et
    al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles" (2017), section 2.4.
    """

    members: tuple[Policy, ...]

    @property
    def shape(self) -> PolicyShape:
        """Return the shape of each member."""
        return self.members[0].shape

    @property
    def actor_parameters(self) -> int:
        """Return the number of the actors' parameters, of all members together."""
        return sum(member.actor_parameters for member in self.members)

    def predict(self, observations: npt.ArrayLike, deterministic: bool = True) -> npt.NDArray[np.int64]:
        """Return an action for each observation; see Policy.predict().

        The most probable action is the one with the highest mean probability, the first if several are equal.
        """
        return choose_actions(lambda rows: self._choose(rows, deterministic), self.shape, observations)

    @torch.no_grad()
    def probabilities(self, observations: Tensor) -> Tensor:
        """Return the mean action probabilities, float64 [n, actions], for observations, float32 [n, size]."""
        total = torch.zeros(len(observations), self.shape.action_count, dtype=torch.float64)
        for member in self.members:
            total += functional.softmax(member.logits(observations).double(), dim=1)
        return total / len(self.members)

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of the tensors of all members, named `member.<i>.<name>`; see Policy.tensors()."""
        return {
            f"{PREFIX}.{number}.{name}": tensor
            for number, member in enumerate(self.members)
            for name, tensor in member.tensors().items()
        }

    def _choose(self, observations: Tensor, deterministic: bool) -> Tensor:
        probabilities = self.probabilities(observations)
        if deterministic:
            return probabilities.argmax(1)
        return draw_from(probabilities, torch.rand(len(probabilities), generator=self.members[0].generator))


# Both have `members`; a single policy is its own only member.
AnyPolicy = Policy | Ensemble


def combined(members: Sequence[Policy]) -> AnyPolicy:
    """Return the policy that these members form: the member itself if there is only one, else an ensemble."""
    return members[0] if len(members) == 1 else Ensemble(tuple(members))


def load_members(shape: PolicyShape, members: int, tensors: Mapping[str, Tensor]) -> AnyPolicy:
    """Return the policy of `members` members with these tensors(). Raises ValueError that names misfits."""
    tensors = dict(tensors)
    if members == 1:
        return load_member(shape, tensors)
    parts = [part_of(tensors, f"{PREFIX}.{number}") for number in range(members)]
    if sum(map(len, parts)) != len(tensors):
        raise ValueError(f"tensors do not fit {members} members: {', '.join(sorted(tensors))}")
    return combined([load_member(shape, part) for part in parts])


def load_member(shape: PolicyShape, tensors: dict[str, Tensor]) -> Policy:
    """Return a policy of this shape, on the CPU, with these tensors. Raises ValueError that names misfits."""
    policy = Policy.create(shape)
    policy.load_tensors(tensors)
    return policy
