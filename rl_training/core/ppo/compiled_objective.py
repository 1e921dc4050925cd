"""The gradient of PPO's loss through both networks: objective.py, compiled by numba for processors.

The layouts of the arrays are those of compiled_networks.py. Arrays are float32 unless stated otherwise.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled_reordering
from rl_training.core.ppo.compiled_networks import (
    BLOCK,
    FlatNetwork,
    Floats,
    Integers,
    Items,
    Number,
    Scratch,
    backward,
    exp,
    forward,
    log_softmax,
    plane,
)

Doubles = npt.NDArray[np.float64]


class Samples(NamedTuple):
    """The arrays of an objective.Batch: `observations` [n, size], `actions` int64 [n], the others [n]."""

    observations: Floats
    actions: Integers
    log_probs: Floats
    advantages: Floats
    returns: Floats


class Minibatch(NamedTuple):
    """The `rows`, int64 [n], of the samples in one gradient step, and the moments() of the advantages in these rows."""

    rows: Integers
    mean: Number
    deviation: Number


class LossSettings(NamedTuple):
    """The fields of PPOConfig that the loss depends on."""

    clip_range: Number
    entropy_coefficient: Number
    value_coefficient: Number
    value_clip_range: Number


class PartialSums(NamedTuple):
    """One row for each part of a minibatch.

    gradients  [parts, parameters], the actor's parameters, then the critic's
    reports    float64 [parts, 5], what ppo.MINIBATCH_METRICS names
    """

    gradients: Floats
    reports: Doubles


@compiled_reordering
def moments(values: Floats, rows: Integers) -> tuple[float, float]:
    """Return the mean and deviation by which objective.normalised() standardises the values of these rows."""
    if len(rows) < 2:
        return 0.0, 1.0
    total = 0.0
    for row in rows:
        total += values[row]
    mean = total / len(rows)
    squares = 0.0
    for row in rows:
        squares += (values[row] - mean) ** 2
    return mean, math.sqrt(squares / (len(rows) - 1)) + 1e-8


@compiled_reordering
def minibatch_gradient(
    first: int,
    stride: int,
    scratch_items: Items,
    minibatch_items: Items,
    samples_items: Items,
    actor_items: Items,
    critic_items: Items,
    settings_items: Items,
    sums_items: Items,
) -> None:
    """Compute PPO's gradient for every `stride`-th part of a minibatch, from part `first` on.

    With P parts, part p consists of every P-th block of rows, from block p on. The call overwrites the rows of `sums`
    for its parts. The minibatch's gradient and metrics are the sums over all parts; see add_up().
    """
    scratch, minibatch, samples = Scratch(*scratch_items), Minibatch(*minibatch_items), Samples(*samples_items)
    actor, critic = FlatNetwork(*actor_items), FlatNetwork(*critic_items)
    settings, sums = LossSettings(*settings_items), PartialSums(*sums_items)
    rows = minibatch.rows
    share = np.float32(1) / np.float32(len(rows))
    parts = len(sums.gradients)
    for part in range(first, parts, stride):
        gradient, report = sums.gradients[part], sums.reports[part]
        gradient[:] = 0
        report[:] = 0
        for start in range(part * BLOCK, len(rows), parts * BLOCK):
            block = gather(samples, rows[start : start + BLOCK], scratch.inputs)
            advantages = ((block.advantages - minibatch.mean) / minibatch.deviation).astype(np.float32)
            add_block_gradient(block, advantages, share, scratch, actor, critic, settings, gradient, report)
        for metric in range(len(report)):
            report[metric] *= share


@compiled_reordering
def gather(samples: Samples, rows: Integers, inputs: Floats) -> Samples:
    """Return the samples of these rows; their observations are copied into the first plane of `inputs`."""
    observations = plane(inputs, 0, len(rows), samples.observations.shape[1])
    for row in range(len(rows)):
        for entry in range(observations.shape[1]):
            observations[row, entry] = samples.observations[rows[row], entry]
    return Samples(
        observations, samples.actions[rows], samples.log_probs[rows], samples.advantages[rows], samples.returns[rows]
    )


@compiled_reordering
def add_block_gradient(
    block: Samples,
    advantages: Floats,
    share: Number,
    scratch: Scratch,
    actor: FlatNetwork,
    critic: FlatNetwork,
    settings: LossSettings,
    gradient: Floats,
    report: Doubles,
) -> None:
    """Add a block's gradient, [parameters], and metrics, [5], to `gradient` and `report`.

    `advantages` are the normalised ones; `share` is one over the number of rows in the minibatch.
    """
    split, count = len(actor.parameters), len(block.actions)
    logits = plane(scratch.outputs, 0, actor.sizes[-1], count)
    probabilities = plane(scratch.outputs, 1, actor.sizes[-1], count)
    forward(actor, block.observations, scratch.hidden, logits)
    surrogate_gradient(logits, probabilities, block, advantages, settings, share, report)
    backward(actor, block.observations, scratch, logits, gradient[:split])

    values = plane(scratch.outputs, 0, 1, count)
    value_scale = np.float32(2 * settings.value_coefficient) * share
    forward(critic, block.observations, scratch.hidden, values)
    value_errors(values[0], block, settings.value_clip_range, value_scale, report)
    backward(critic, block.observations, scratch, values, gradient[split:])


@compiled_reordering
def surrogate_gradient(
    logits: Floats,
    probabilities: Floats,
    block: Samples,
    advantages: Floats,
    settings: LossSettings,
    share: Number,
    report: Doubles,
) -> None:
    """Compute objective.clipped_surrogate(): replace `logits` by `share` times their gradient, and add to `report`."""
    actions, log_probs, clip_range = block.actions, block.log_probs, settings.clip_range
    log_softmax(logits, probabilities)
    slopes, entropies = np.empty(len(actions), np.float32), np.zeros(len(actions), np.float32)
    for step in range(len(actions)):
        slopes[step] = logits[actions[step], step] - log_probs[step]
    for action in range(len(logits)):
        for step in range(len(entropies)):
            entropies[step] -= probabilities[action, step] * logits[action, step]

    lowest, highest = np.float32(1 - clip_range), np.float32(1 + clip_range)
    loss, entropy, divergence, clipped = 0.0, 0.0, 0.0, 0.0
    for step in range(len(slopes)):
        log_ratio = slopes[step]
        ratio = exp(log_ratio)
        gain = ratio * advantages[step]
        clipped_gain = min(max(ratio, lowest), highest) * advantages[step]
        slopes[step] = gain if gain <= clipped_gain else np.float32(0)
        loss -= min(gain, clipped_gain)
        entropy += entropies[step]
        divergence += ratio - np.float32(1) - log_ratio
        clipped += abs(ratio - np.float32(1)) > clip_range
    report[0] += loss
    report[2] -= entropy
    report[3] += divergence
    report[4] += clipped

    bonus = np.float32(settings.entropy_coefficient)
    for action in range(len(logits)):
        for step in range(len(slopes)):
            logits[action, step] = (
                share * probabilities[action, step] * (slopes[step] + bonus * (logits[action, step] + entropies[step]))
            )
    for step in range(len(slopes)):
        logits[actions[step], step] -= share * slopes[step]


@compiled_reordering
def value_errors(values: Floats, block: Samples, clip_range: Number, scale: Number, report: Doubles) -> None:
    """Compute objective.squared_errors(): replace `values` by `scale` times the errors, and add to `report`."""
    advantages, returns = block.advantages, block.returns
    squares = 0.0
    for step in range(len(values)):
        error = values[step] - returns[step]
        square = error * error
        if clip_range > 0:
            moved = values[step] - (returns[step] - advantages[step])
            held_back = error - moved + min(max(moved, -clip_range), clip_range)
            if abs(moved) > clip_range and held_back * held_back > square:
                error = np.float32(0)
            square = max(square, held_back * held_back)
        squares += square
        values[step] = scale * error
    report[1] += squares


@compiled_reordering
def add_up(gradients: Floats, reports: Doubles, gradient: Floats, report: Doubles) -> None:
    """Write the sums over the parts of PartialSums to `gradient`, [parameters], and `report`, float64 [5]."""
    for entry in range(len(gradient)):
        gradient[entry] = gradients[0, entry]
    for part in range(1, len(gradients)):
        for entry in range(len(gradient)):
            gradient[entry] += gradients[part, entry]
    report[:] = 0
    for part in range(len(reports)):
        for metric in range(len(report)):
            report[metric] += reports[part, metric]
