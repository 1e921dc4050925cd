"""Forward and backward passes through the networks of networks.py, compiled by numba for processors.

The arithmetic is the same as torch's on other devices; tests compare the two. Rows are processed in blocks that fit in
a core's second-level cache. The BLAS computes the matrix products, and everything between two products is one pass over
memory.

Outputs are stored with one row per output and one column per step, so that loops over steps can be vectorised. Arrays
are float32 unless stated otherwise.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled_reordering

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
# A scalar of any width: numba compiles a function for each type that it is called with.
Number = Any
# The items of a NamedTuple below. The functions that Python calls, draw_actions(), predict_values() and
# compiled_objective.minibatch_gradient(), take plain tuples: a call with seven NamedTuples takes 5 microseconds longer,
# because numba determines the type of a NamedTuple in Python, but that of a tuple in C. Threads make these calls one
# after the other, under the GIL, so an iteration with NamedTuples took 3 % longer.
Items = tuple[Any, ...]

# Rows per block. For 128 rows, two layers of 64 units and their gradients take 150 kilobytes. OpenBLAS has faster
# kernels for products of at most a million multiplications, which 128 rows of two layers of 64 do not exceed.
BLOCK = 128


class FlatNetwork(NamedTuple):
    """One network in the form that compiled code needs.

    parameters  laid out as by flatten_parameters(): the weights of all layers, [outputs, inputs] each, then the biases
    sizes       int64, the width of each layer, the input's first
    """

    parameters: Floats
    sizes: Integers


class Scratch(NamedTuple):
    """Memory that one thread works in, enough for a block of rows. Each array is [planes, size]; see plane().

    inputs   the block's observations
    hidden   the output of each hidden layer
    deltas   the gradients with respect to two neighbouring hidden layers
    product  the gradient of one layer's weights
    outputs  logits and probabilities, or values
    """

    inputs: Floats
    hidden: Floats
    deltas: Floats
    product: Floats
    outputs: Floats


@compiled_reordering
def tanh(x: Number) -> Number:
    """Return tanh(x) to 3e-7 relative, without a branch: Eigen's rational approximation `ptanh`, by Horner's scheme."""
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
    """Return e^x to 3e-7 relative for x in [-87, 88], constant beyond, without a branch.

    e^x = 2^n e^r with |r| <= ln(2) / 2; e^r is the polynomial of Cephes' `expf`.
    """
    x = min(max(x, np.float32(-87)), np.float32(88))
    power = np.floor(x * np.float32(1.44269504089) + np.float32(0.5))
    rest = x - power * np.float32(0.69314718056)
    total = np.float32(1.9875691500e-4)
    total = total * rest + np.float32(1.3981999507e-3)
    total = total * rest + np.float32(8.3334519073e-3)
    total = total * rest + np.float32(4.1665795894e-2)
    total = total * rest + np.float32(1.6666665459e-1)
    total = total * rest + np.float32(5.0000001201e-1)
    total = total * rest * rest + rest + np.float32(1)
    # An integer shifted into the exponent's bits is the float32 2^n.
    return total * np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled_reordering
def layer(parameters: Floats, sizes: Integers, index: int) -> tuple[Floats, Floats]:
    """Return views of one layer's weights, [outputs, inputs], and biases, [outputs]."""
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
    """Return a view of the plane `index` of `scratch`, [planes, size], as [rows, columns]."""
    return scratch[index, : rows * columns].reshape(rows, columns)


@compiled_reordering
def forward(network: FlatNetwork, inputs: Floats, hidden: Floats, outputs: Floats) -> None:
    """Evaluate the network on `inputs`, [n, sizes[0]], and write `outputs`, [sizes[-1], n].

    Plane i of `hidden` receives the output of hidden layer i, which backward() reads.
    """
    parameters, sizes = network
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
    # The last layer has few outputs: a plain loop is faster than the BLAS.
    weights, biases = layer(parameters, sizes, last)
    for row in range(below.shape[0]):
        for output in range(weights.shape[0]):
            total = np.float32(0)
            for unit in range(below.shape[1]):
                total += below[row, unit] * weights[output, unit]
            outputs[output, row] = total + biases[output]


@compiled_reordering
def backward(
    network: FlatNetwork, inputs: Floats, scratch: Scratch, outputs_gradient: Floats, gradient: Floats
) -> None:
    """Add the gradient of the network's parameters to `gradient`, [parameters].

    `outputs_gradient`, [sizes[-1], n], is the gradient of the outputs; `scratch.hidden` is as forward() left it.
    """
    parameters, sizes = network
    _, hidden, deltas, product, _ = scratch
    rows, last = len(inputs), len(sizes) - 2
    weights, _ = layer(parameters, sizes, last)
    weights_gradient, biases_gradient = layer(gradient, sizes, last)
    below = plane(hidden, last - 1, rows, sizes[last])
    delta = plane(deltas, 0, rows, sizes[last])
    for row in range(rows):
        for unit in range(below.shape[1]):
            delta[row, unit] = 0
        for output in range(weights.shape[0]):
            own = outputs_gradient[output, row]
            biases_gradient[output] += own
            for unit in range(below.shape[1]):
                weights_gradient[output, unit] += own * below[row, unit]
                delta[row, unit] += own * weights[output, unit]

    for index in range(last - 1, -1, -1):
        weights, _ = layer(parameters, sizes, index)
        weights_gradient, biases_gradient = layer(gradient, sizes, index)
        above = below
        for row in range(rows):
            for unit in range(above.shape[1]):
                own = delta[row, unit] * (np.float32(1) - above[row, unit] * above[row, unit])
                delta[row, unit] = own
                biases_gradient[unit] += own
        below = plane(hidden, index - 1, rows, sizes[index]) if index else inputs
        added = plane(product, 0, sizes[index + 1], sizes[index])
        np.dot(delta.T, below, added)
        for unit in range(added.shape[0]):
            for entry in range(added.shape[1]):
                weights_gradient[unit, entry] += added[unit, entry]
        if index:
            delta_below = plane(deltas, (last - index) % 2, rows, sizes[index])
            np.dot(delta, weights, delta_below)
            delta = delta_below


@compiled_reordering
def log_softmax(logits: Floats, probabilities: Floats) -> None:
    """Replace `logits`, [actions, n], by log probabilities, and write `probabilities`, [actions, n]."""
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
    scratch_items: Items,
    actor_items: Items,
    inputs: Floats,
    uniform: Floats,
    actions: Integers,
    log_probs: Floats,
) -> None:
    """Write what networks.draw() draws: `actions`, int64 [n], for `inputs`, [n, size], and their `log_probs`, [n].

    One call handles every `stride`-th block of rows, from block `first` on.
    """
    scratch, actor = Scratch(*scratch_items), FlatNetwork(*actor_items)
    sizes = actor.sizes
    for start in range(first * BLOCK, len(inputs), stride * BLOCK):
        rows = inputs[start : start + BLOCK]
        logits = plane(scratch.outputs, 0, sizes[-1], len(rows))
        probabilities = plane(scratch.outputs, 1, sizes[-1], len(rows))
        forward(actor, rows, scratch.hidden, logits)
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
    first: int, stride: int, scratch_items: Items, critic_items: Items, inputs: Floats, values: Floats
) -> None:
    """Write the `values`, [n], of `inputs`, [n, size]: every `stride`-th block of rows, from block `first` on."""
    scratch, critic = Scratch(*scratch_items), FlatNetwork(*critic_items)
    for start in range(first * BLOCK, len(inputs), stride * BLOCK):
        rows = inputs[start : start + BLOCK]
        forward(critic, rows, scratch.hidden, values[start : start + BLOCK].reshape(1, -1))


def allocate_scratch(actor: FlatNetwork, critic: FlatNetwork) -> Scratch:
    """Return one thread's memory for two networks that have the same inputs and hidden layers."""
    hidden, widest_output = actor.sizes[1:-1], max(actor.sizes[-1], critic.sizes[-1])

    def planes(count: int, size: int) -> Floats:
        return np.empty((count, size), np.float32)

    return Scratch(
        inputs=planes(1, BLOCK * actor.sizes[0]),
        hidden=planes(len(hidden), BLOCK * hidden.max()),
        deltas=planes(2, BLOCK * hidden.max()),
        product=planes(1, hidden.max() * actor.sizes[:-1].max()),
        outputs=planes(2, BLOCK * widest_output),
    )
