"""The most probable actions of a policy, compiled, for loops in which calls of Policy.predict() would take most time.

The actions are those of predict(), which is easier to read. All members of an ensemble decide in one call.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled
from rl_training.core.ppo.compiled_networks import FlatNetwork, Floats, Integers, forward
from rl_training.core.ppo.compute import MOST_COMPILED_PARAMETERS
from rl_training.core.ppo.ensemble import AnyPolicy
from rl_training.core.ppo.normalisation import OBSERVATION_CLIP


class CompiledPolicy(NamedTuple):
    """The actors of M members, and how each reads observations of D numbers."""

    parameters: Floats  # [M, parameters], each as in FlatNetwork
    sizes: Integers  # int64, the same for all members; see FlatNetwork
    means: Floats  # [M, D]
    scales: Floats  # [M, D]; an observation is (value - mean) x scale
    clip: float
    first_action: int


class Decisions(NamedTuple):
    """Memory for the decisions on at most n observations at once."""

    inputs: Floats  # [n, D]
    hidden: Floats  # [hidden layers, n x widest]
    logits: Floats  # [actions x n]
    probabilities: npt.NDArray[np.float64]  # [n, actions], the sum over members


def can_compile(policy: AnyPolicy) -> bool:
    """Return whether compiled code is as fast as torch for networks of this size."""
    return policy.members[0].actor_parameters <= MOST_COMPILED_PARAMETERS


def compile_policy(policy: AnyPolicy) -> CompiledPolicy:
    """Return a copy of the policy's actors for compiled code."""
    size, members = policy.shape.observation_size, policy.members
    means, scales = np.zeros((len(members), size), np.float32), np.ones((len(members), size), np.float32)
    for number, member in enumerate(members):
        if member.observations is not None:
            means[number], scales[number] = member.observations.mean.numpy(), member.observations.scale.numpy()
    parameters = [
        np.concatenate([part.detach().cpu().numpy().ravel() for part in member.network.actor.parameters()])
        for member in members
    ]
    return CompiledPolicy(
        parameters=np.stack(parameters),
        sizes=np.array(members[0].network.actor.sizes),
        means=means,
        scales=scales,
        clip=OBSERVATION_CLIP if policy.shape.normalises_observations else np.inf,
        first_action=policy.shape.first_action,
    )


@compiled
def allocate_decisions(policy: CompiledPolicy, rows: int) -> Decisions:
    """Return memory for the decisions on at most `rows` observations at once."""
    sizes = policy.sizes
    return Decisions(
        np.empty((rows, sizes[0]), np.float32),
        np.empty((len(sizes) - 2, rows * sizes[1:-1].max()), np.float32),
        np.empty(sizes[-1] * rows, np.float32),
        np.empty((rows, sizes[-1])),
    )


@compiled
def decide(policy: CompiledPolicy, observations: Floats, memory: Decisions, actions: Integers) -> None:
    """Write the most probable action, int64 [n], for each observation, [n, D]; see Ensemble.predict().

    `memory` must be for n observations or more.
    """
    rows, members = len(observations), len(policy.parameters)
    inputs, probabilities = memory.inputs[:rows], memory.probabilities[:rows]
    logits = memory.logits[: policy.sizes[-1] * rows].reshape(policy.sizes[-1], rows)
    probabilities[:] = 0.0
    for member in range(members):
        mean, scale = policy.means[member], policy.scales[member]
        for row in range(rows):
            for number in range(inputs.shape[1]):
                value = (observations[row, number] - mean[number]) * scale[number]
                inputs[row, number] = min(max(value, -policy.clip), policy.clip)
        forward(FlatNetwork(policy.parameters[member], policy.sizes), inputs, memory.hidden, logits)
        for row in range(rows):
            if members == 1:
                actions[row] = logits[:, row].argmax() + policy.first_action
            else:
                _add_probabilities(logits[:, row], probabilities[row])
    if members > 1:
        for row in range(rows):
            actions[row] = (probabilities[row] / members).argmax() + policy.first_action


@compiled
def _add_probabilities(logits: Floats, total: npt.NDArray[np.float64]) -> None:
    """Add softmax(logits), [actions], in float64, to `total`."""
    largest, norm = np.float64(logits.max()), 0.0
    for action in range(len(logits)):
        norm += math.exp(np.float64(logits[action]) - largest)
    for action in range(len(logits)):
        total[action] += math.exp(np.float64(logits[action]) - largest) / norm
