"""Passes through the networks of networks.py, compiled by numba for processors.

The arithmetic is that which torch carries out on other devices, and tests hold the two together. Here rows go through
in blocks that stay in a core's second-level cache, products are the BLAS's, and all that lies between two products is
one pass over memory.

A network is a vector of parameters, laid out as `flatten_parameters` does: the weights of all layers, [outputs, inputs]
each, then their biases; `sizes` are the widths of its layers, the input's first. What it puts out has a row for each
output, not for each step: passes over it then take many steps at once. Arrays are float32 unless said.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled_reordering

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
# Of whatever width it is given in.
Number = Any
# What one thread needs for a block of rows: inputs, hidden layers, pulls on two of them, a layer's product, outputs.
Scratch = tuple[Floats, Floats, Floats, Floats, Floats]

# Two layers of 64 and their gradients, for as many rows, are 150 kilobytes. OpenBLAS has faster kernels for products of
# at most a million multiplications, which 128 rows of two layers of 64 stay below and 256 do not.
BLOCK = 128


@compiled_reordering
def tanh(x: Number) -> Number:
    """To 3e-7 relative, without a branch: the rational approximation of Eigen's `ptanh`, here in Horner's scheme."""
    x = min(max(x, np.float32(-7.90531110763549805)), np.float32(7.90531110763549805))
    square = x * x
    above = np.float32(-2.76076847742355e-16)
    above = above * square + np.float32(2.00018790482477e-13)
    above = above * square + np.float32(-8.60467152213735e-11)
    above = above * square + np.float32(5.12229709037114e-08)
    above = above * square + np.float32(1.48572235717979e-05)
    above = above * square + np.float32(6.37261928875436e-04)
    above = above * square + np.float32(4.89352455891786e-03)
    below = np.float32(1.19825839466702e-06)
    below = below * square + np.float32(1.18534705686654e-04)
    below = below * square + np.float32(2.26843463243900e-03)
    below = below * square + np.float32(4.89352518554385e-03)
    return x * above / below


@compiled_reordering
def exp(x: Number) -> Number:
    """To 3e-7 relative between -87 and 88 and constant beyond, without a branch: e^x = 2^n e^r, r within ln(2) / 2."""
    x = min(max(x, np.float32(-87)), np.float32(88))
    power = np.floor(x * np.float32(1.44269504089) + np.float32(0.5))
    rest = x - power * np.float32(0.69314718056)
    # Cephes' polynomial.
    total = np.float32(1.9875691500e-4)
    total = total * rest + np.float32(1.3981999507e-3)
    total = total * rest + np.float32(8.3334519073e-3)
    total = total * rest + np.float32(4.1665795894e-2)
    total = total * rest + np.float32(1.6666665459e-1)
    total = total * rest + np.float32(5.0000001201e-1)
    total = total * rest * rest + rest + np.float32(1)
    # The bits of the float32 that is 2^n.
    return total * np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled_reordering
def layer(parameters: Floats, sizes: Integers, index: int) -> tuple[Floats, Floats]:
    """Views of the weights, [outputs, inputs], and biases, [outputs], of one layer."""
    inputs, outputs = sizes[index], sizes[index + 1]
    weights, biases = 0, 0
    for before in range(len(sizes) - 1):
        size = sizes[before] * sizes[before + 1]
        biases += size
        if before < index:
            weights += size
    for before in range(index):
        biases += sizes[before + 1]
    return parameters[weights : weights + outputs * inputs].reshape(outputs, inputs), parameters[
        biases : biases + outputs
    ]


@compiled_reordering
def plane(scratch: Floats, index: int, rows: int, columns: int) -> Floats:
    """A view of one of the planes of `scratch`, [planes, size], as [rows, columns]."""
    return scratch[index, : rows * columns].reshape(rows, columns)


@compiled_reordering
def forward(parameters: Floats, sizes: Integers, inputs: Floats, hidden: Floats, outputs: Floats) -> None:
    """Rows, [n, sizes[0]], to `outputs`, [sizes[-1], n]; plane i of `hidden` keeps what leaves hidden layer i."""
    last = len(sizes) - 2
    below = inputs
    for index in range(last):
        weights, biases = layer(parameters, sizes, index)
        above = plane(hidden, index, len(inputs), sizes[index + 1])
        np.dot(below, weights.T, above)
        for row in range(above.shape[0]):
            for unit in range(above.shape[1]):
                above[row, unit] = tanh(above[row, unit] + biases[unit])
        below = above
    # Too thin a product for the BLAS.
    weights, biases = layer(parameters, sizes, last)
    for row in range(below.shape[0]):
        for output in range(weights.shape[0]):
            total = np.float32(0)
            for unit in range(below.shape[1]):
                total += below[row, unit] * weights[output, unit]
            outputs[output, row] = total + biases[output]


@compiled_reordering
def backward(
    parameters: Floats,
    sizes: Integers,
    inputs: Floats,
    hidden: Floats,
    pulls: Floats,
    product: Floats,
    outputs_gradient: Floats,
    gradient: Floats,
) -> None:
    """Add the parameters' gradient to `gradient`, given that of the outputs; `hidden` is as forward() left it."""
    rows, last = len(inputs), len(sizes) - 2
    weights, _ = layer(parameters, sizes, last)
    weights_gradient, biases_gradient = layer(gradient, sizes, last)
    below = plane(hidden, last - 1, rows, sizes[last])
    pull = plane(pulls, 0, rows, sizes[last])
    for row in range(rows):
        for unit in range(below.shape[1]):
            pull[row, unit] = 0
        for output in range(weights.shape[0]):
            own = outputs_gradient[output, row]
            biases_gradient[output] += own
            for unit in range(below.shape[1]):
                weights_gradient[output, unit] += own * below[row, unit]
                pull[row, unit] += own * weights[output, unit]

    for index in range(last - 1, -1, -1):
        weights, _ = layer(parameters, sizes, index)
        weights_gradient, biases_gradient = layer(gradient, sizes, index)
        above = below
        for row in range(rows):
            for unit in range(above.shape[1]):
                own = pull[row, unit] * (np.float32(1) - above[row, unit] * above[row, unit])
                pull[row, unit] = own
                biases_gradient[unit] += own
        below = plane(hidden, index - 1, rows, sizes[index]) if index else inputs
        added = plane(product, 0, sizes[index + 1], sizes[index])
        np.dot(pull.T, below, added)
        for unit in range(added.shape[0]):
            for entry in range(added.shape[1]):
                weights_gradient[unit, entry] += added[unit, entry]
        if index:
            pull_below = plane(pulls, (last - index) % 2, rows, sizes[index])
            np.dot(pull, weights, pull_below)
            pull = pull_below


@compiled_reordering
def log_softmax(logits: Floats, probabilities: Floats) -> None:
    """Turn logits, [actions, n], into logarithms of probabilities, and give these as well."""
    largest, total = logits[0].copy(), np.zeros(logits.shape[1], np.float32)
    for action in range(1, len(logits)):
        for step in range(len(largest)):
            largest[step] = max(largest[step], logits[action, step])
    for action in range(len(logits)):
        for step in range(len(total)):
            probabilities[action, step] = exp(logits[action, step] - largest[step])
            total[step] += probabilities[action, step]
    for step in range(len(total)):
        largest[step] += math.log(total[step])
        total[step] = np.float32(1) / total[step]
    for action in range(len(logits)):
        for step in range(len(total)):
            logits[action, step] -= largest[step]
            probabilities[action, step] *= total[step]


@compiled_reordering
def draw_actions(
    first: int,
    stride: int,
    scratch: Scratch,
    actor: Floats,
    sizes: Integers,
    inputs: Floats,
    uniform: Floats,
    actions: Integers,
    log_probs: Floats,
) -> None:
    """networks.draw() for observations, [n, size]: actions, [n], and their log probabilities, [n].

    This call does every `stride`-th block of rows, from block `first` on.
    """
    _, hidden, _, _, outputs = scratch
    for start in range(first * BLOCK, len(inputs), stride * BLOCK):
        rows = inputs[start : start + BLOCK]
        logits, probabilities = plane(outputs, 0, sizes[-1], len(rows)), plane(outputs, 1, sizes[-1], len(rows))
        forward(actor, sizes, rows, hidden, logits)
        log_softmax(logits, probabilities)
        for row in range(len(rows)):
            action, below = 0, probabilities[0, row]
            while below <= uniform[start + row] and action < sizes[-1] - 1:
                action += 1
                below += probabilities[action, row]
            actions[start + row] = action
            log_probs[start + row] = logits[action, row]


@compiled_reordering
def predict_values(
    first: int, stride: int, scratch: Scratch, critic: Floats, sizes: Integers, inputs: Floats, values: Floats
) -> None:
    """Values, [n], of observations, [n, size]: of every `stride`-th block of rows, from block `first` on."""
    hidden = scratch[1]
    for start in range(first * BLOCK, len(inputs), stride * BLOCK):
        rows = inputs[start : start + BLOCK]
        forward(critic, sizes, rows, hidden, values[start : start + BLOCK].reshape(1, -1))


def allocate_scratch(actor_sizes: Integers, critic_sizes: Integers) -> Scratch:
    """For networks that have the same inputs and hidden layers."""
    hidden, outputs = actor_sizes[1:-1], max(actor_sizes[-1], critic_sizes[-1])
    shapes = (
        (1, BLOCK * actor_sizes[0]),
        (len(hidden), BLOCK * hidden.max()),
        (2, BLOCK * hidden.max()),
        (1, hidden.max() * actor_sizes[:-1].max()),
        (2, BLOCK * outputs),
    )
    return tuple(np.empty(shape, np.float32) for shape in shapes)  # type: ignore[return-value]
