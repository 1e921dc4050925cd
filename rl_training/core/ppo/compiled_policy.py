"""The most probable actions of a policy, compiled, for loops in which calls of Policy.predict() would take most time.

The actions are those of predict(), which is easier to read. All members of an ensemble decide in one call. Nothing here
needs torch, so that a process without torch decides by the same code as an evaluation.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled
from rl_training.core.ppo.compiled_networks import FlatNetwork, Floats, Integers, forward

OBSERVATION_CLIP = 10.0
"""Observations that a policy standardises are clipped to plus or minus this number of deviations."""


class CompiledPolicy(NamedTuple):
    """The actors, or the critics, of M members, and how each standardises observations of D numbers."""

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


def observation_scale(variance: npt.NDArray[np.float64]) -> Floats:
    """Return the factors that standardise observations with this running variance."""
    factors: Floats = (1.0 / np.sqrt(variance + 1e-8)).astype(np.float32)
    return factors


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
        _evaluate(policy, member, observations, inputs, memory.hidden, logits)
        for row in range(rows):
            if members == 1:
                actions[row] = logits[:, row].argmax() + policy.first_action
            else:
                _add_probabilities(logits[:, row], probabilities[row])
    if members > 1:
        for row in range(rows):
            actions[row] = (probabilities[row] / members).argmax() + policy.first_action


@compiled
def weigh(
    policy: CompiledPolicy,
    observations: Floats,
    memory: Decisions,
    actions: Integers,
    probabilities: npt.NDArray[np.float64],
) -> None:
    """Do what decide() does, and write the members' mean action probabilities, [n, actions]; see Ensemble."""
    decide(policy, observations, memory, actions)
    rows, members = len(observations), len(policy.parameters)
    for row in range(rows):
        for action in range(probabilities.shape[1]):
            probabilities[row, action] = memory.probabilities[row, action] / members
    if members == 1:
        logits = memory.logits[: policy.sizes[-1] * rows].reshape(policy.sizes[-1], rows)
        for row in range(rows):
            _add_probabilities(logits[:, row], probabilities[row])


@compiled
def mean_value(critic: CompiledPolicy, observations: Floats, memory: Decisions) -> float:
    """Return the mean over members of the value of one observation, [1, D]. `memory` must be the critic's."""
    total, value = 0.0, memory.logits[:1].reshape(1, 1)
    for member in range(len(critic.parameters)):
        _evaluate(critic, member, observations, memory.inputs[:1], memory.hidden, value)
        total += np.float64(value[0, 0])
    return total / len(critic.parameters)


@compiled
def _evaluate(
    policy: CompiledPolicy, member: int, observations: Floats, inputs: Floats, hidden: Floats, outputs: Floats
) -> None:
    """Write the outputs of one member's network, [outputs, n], for `observations`, [n, D]."""
    mean, scale = policy.means[member], policy.scales[member]
    for row in range(len(observations)):
        for number in range(inputs.shape[1]):
            value = (observations[row, number] - mean[number]) * scale[number]
            inputs[row, number] = min(max(value, -policy.clip), policy.clip)
    forward(FlatNetwork(policy.parameters[member], policy.sizes), inputs, hidden, outputs)


@compiled
def _add_probabilities(logits: Floats, total: npt.NDArray[np.float64]) -> None:
    """Add softmax(logits), [actions], in float64, to `total`."""
    largest, norm = np.float64(logits.max()), 0.0
    for action in range(len(logits)):
        norm += math.exp(np.float64(logits[action]) - largest)
    for action in range(len(logits)):
        total[action] += math.exp(np.float64(logits[action]) - largest) / norm
