"""PPO's gradient, that of objective.py through both networks, compiled by numba for processors.

Like the passes of compiled_networks.py, whose words and layouts these share.
"""

import math

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled_reordering
from rl_training.core.ppo.compiled_networks import (
    BLOCK,
    Floats,
    Integers,
    Number,
    Scratch,
    backward,
    exp,
    forward,
    log_softmax,
    plane,
)

Doubles = npt.NDArray[np.float64]


@compiled_reordering
def moments(values: Floats, rows: Integers) -> tuple[float, float]:
    """Mean and deviation by which objective.normalised() standardises the values of some rows."""
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
def surrogate_gradient(
    logits: Floats,
    probabilities: Floats,
    actions: Integers,
    log_probs: Floats,
    advantages: Floats,
    clip_range: Number,
    entropy_coefficient: Number,
    share: Number,
    report: Doubles,
) -> None:
    """objective.clipped_surrogate(): `logits` become `share` times their gradient, `report` is added to."""
    log_softmax(logits, probabilities)
    pulls, entropies = np.empty(len(actions), np.float32), np.zeros(len(actions), np.float32)
    for step in range(len(actions)):
        pulls[step] = logits[actions[step], step] - log_probs[step]
    for action in range(len(logits)):
        for step in range(len(entropies)):
            entropies[step] -= probabilities[action, step] * logits[action, step]

    lowest, highest = np.float32(1 - clip_range), np.float32(1 + clip_range)
    loss, entropy, divergence, clipped = 0.0, 0.0, 0.0, 0.0
    for step in range(len(pulls)):
        log_ratio = pulls[step]
        ratio = exp(log_ratio)
        gain = ratio * advantages[step]
        clipped_gain = min(max(ratio, lowest), highest) * advantages[step]
        pulls[step] = gain if gain <= clipped_gain else np.float32(0)
        loss -= min(gain, clipped_gain)
        entropy += entropies[step]
        divergence += ratio - np.float32(1) - log_ratio
        clipped += abs(ratio - np.float32(1)) > clip_range
    report[0] += loss
    report[2] -= entropy
    report[3] += divergence
    report[4] += clipped

    bonus = np.float32(entropy_coefficient)
    for action in range(len(logits)):
        for step in range(len(pulls)):
            logits[action, step] = (
                share * probabilities[action, step] * (pulls[step] + bonus * (logits[action, step] + entropies[step]))
            )
    for step in range(len(pulls)):
        logits[actions[step], step] -= share * pulls[step]


@compiled_reordering
def value_errors(
    values: Floats, advantages: Floats, targets: Floats, clip_range: Number, scale: Number, report: Doubles
) -> None:
    """objective.squared_errors(): `values` become `scale` times the errors that pull; `report` is added to."""
    squares = 0.0
    for step in range(len(values)):
        error = values[step] - targets[step]
        square = error * error
        if clip_range > 0:
            moved = values[step] - (targets[step] - advantages[step])
            held_back = error - moved + min(max(moved, -clip_range), clip_range)
            if abs(moved) > clip_range and held_back * held_back > square:
                error = np.float32(0)
            square = max(square, held_back * held_back)
        squares += square
        values[step] = scale * error
    report[1] += squares


@compiled_reordering
def minibatch_gradient(
    first: int,
    stride: int,
    scratch: Scratch,
    rows: Integers,
    inputs: Floats,
    actions: Integers,
    log_probs: Floats,
    advantages: Floats,
    returns: Floats,
    mean: Number,
    deviation: Number,
    actor: Floats,
    actor_sizes: Integers,
    critic: Floats,
    critic_sizes: Integers,
    clip_range: Number,
    entropy_coefficient: Number,
    value_coefficient: Number,
    value_clip_range: Number,
    gradients: Floats,
    reports: Doubles,
) -> None:
    """PPO's gradient over a minibatch: every `stride`-th of its parts, from part `first` on.

    `rows` are the minibatch's steps among the rollout's, whose advantages have `mean` and `deviation` in it. With P
    parts, part p is of every P-th block of rows, from block p on. gradients[p], [P, parameters], becomes its gradient
    of the actor's parameters and then the critic's, reports[p] its share of the figures that ppo.MINIBATCH_METRICS
    names: those of the minibatch are the sums over its parts.
    """
    gathered, hidden, pulls, product, outputs = scratch
    share = np.float32(1) / np.float32(len(rows))
    value_scale = np.float32(2 * value_coefficient) * share
    parts, split = len(gradients), len(actor)
    for part in range(first, parts, stride):
        gradient, report = gradients[part], reports[part]
        gradient[:] = 0
        report[:] = 0
        for start in range(part * BLOCK, len(rows), parts * BLOCK):
            steps = rows[start : start + BLOCK]
            count = len(steps)
            seen = plane(gathered, 0, count, inputs.shape[1])
            for row in range(count):
                for entry in range(inputs.shape[1]):
                    seen[row, entry] = inputs[steps[row], entry]
            advantage = advantages[steps]

            logits = plane(outputs, 0, actor_sizes[-1], count)
            probabilities = plane(outputs, 1, actor_sizes[-1], count)
            forward(actor, actor_sizes, seen, hidden, logits)
            surrogate_gradient(
                logits,
                probabilities,
                actions[steps],
                log_probs[steps],
                ((advantage - mean) / deviation).astype(np.float32),
                clip_range,
                entropy_coefficient,
                share,
                report,
            )
            backward(actor, actor_sizes, seen, hidden, pulls, product, logits, gradient[:split])

            values = plane(outputs, 0, 1, count)
            forward(critic, critic_sizes, seen, hidden, values)
            value_errors(values[0], advantage, returns[steps], value_clip_range, value_scale, report)
            backward(critic, critic_sizes, seen, hidden, pulls, product, values, gradient[split:])
        for figure in range(len(report)):
            report[figure] *= share


@compiled_reordering
def add_up(gradients: Floats, reports: Doubles, gradient: Floats, report: Doubles) -> None:
    """Sums over the parts of a minibatch."""
    for entry in range(len(gradient)):
        gradient[entry] = gradients[0, entry]
    for part in range(1, len(gradients)):
        for entry in range(len(gradient)):
            gradient[entry] += gradients[part, entry]
    report[:] = reports.sum(axis=0)
