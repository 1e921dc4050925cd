"""Computes the networks' outputs and PPO's gradient: by torch on any device, or by compiled code on processors.

Both give the same numbers. TorchCompute is easier to read; CompiledCompute is several times as fast on a processor.
"""

import math
from collections.abc import Callable, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - loads the BLAS of compiled code before its threads are limited below
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from rl_training.core.config import PPOConfig
from rl_training.core.ppo.compiled_networks import (
    BLOCK,
    FlatNetwork,
    Floats,
    Integers,
    Items,
    allocate_scratch,
    draw_actions,
    predict_values,
)
from rl_training.core.ppo.compiled_objective import (
    LossSettings,
    Minibatch,
    PartialSums,
    Samples,
    add_up,
    minibatch_gradient,
    moments,
)
from rl_training.core.ppo.networks import ActorCritic, FlatParameters, draw
from rl_training.core.ppo.objective import Batch, clipped_surrogate, normalised, squared_errors

# In larger networks the matrix products take nearly all of the time, and torch computes products equally fast.
MOST_COMPILED_PARAMETERS = 2**20

# Takes rows of a batch, int64 [n]. Sets the gradient of the parameters and returns the metrics of these rows, [5], in
# the order of ppo.MINIBATCH_METRICS.
Gradient = Callable[[Tensor], Tensor]


class Compute(Protocol):
    """The computations that PPO needs from its networks. Tensors are on the network's device."""

    def act(self, inputs: Floats, uniform: Floats) -> tuple[Integers, Floats]:
        """Return actions, [n], for `inputs`, [n, size], and their log probabilities, [n].

        The numbers `uniform`, [n], from 0 to 1 decide which actions are drawn; see networks.draw().
        """

    def values(self, inputs: Tensor) -> Tensor:
        """Return the critic's values, [n], of `inputs`, [n, size]."""

    def gradient(self, batch: Batch) -> Gradient:
        """Return the function that computes the gradient of PPO's loss over rows of `batch`."""


def compute_for(network: ActorCritic, parameters: FlatParameters, config: PPOConfig, threads: int) -> Compute:
    """Return the faster implementation for the network's device and size; `parameters` are the network's own.

    If the result is a TorchCompute, torch uses this many threads in the whole process.
    """
    if network.device.type == "cpu" and len(parameters.values) <= MOST_COMPILED_PARAMETERS:
        return CompiledCompute(network, parameters, config, threads)
    torch.set_num_threads(threads)
    return TorchCompute(network, parameters, config)


class TorchCompute:
    """Computes with torch's operations and automatic differentiation."""

    def __init__(self, network: ActorCritic, parameters: FlatParameters, config: PPOConfig) -> None:
        self.network, self.config, self.total = network, config, parameters.gradient

    @torch.no_grad()
    def act(self, inputs: Floats, uniform: Floats) -> tuple[Integers, Floats]:
        logits = self.network.logits(torch.from_numpy(inputs).to(self.network.device))
        actions = draw(logits, torch.from_numpy(uniform).to(logits.device))
        log_probs = functional.log_softmax(logits, dim=1).gather(1, actions.unsqueeze(1)).squeeze(1)
        return actions.cpu().numpy(), log_probs.cpu().numpy()

    @torch.no_grad()
    def values(self, inputs: Tensor) -> Tensor:
        return self.network.values(inputs)

    def gradient(self, batch: Batch) -> Gradient:
        config = self.config

        def gradient_of(rows: Tensor) -> Tensor:
            minibatch = batch.take(rows)
            logits = self.network.logits(minibatch.observations)
            values = self.network.values(minibatch.observations)
            with torch.no_grad():
                advantages = normalised(minibatch.advantages)
                policy = clipped_surrogate(logits, minibatch, advantages, config.clip_range, config.entropy_coefficient)
                errors, value_loss = squared_errors(values, minibatch, config.value_clip_range)
                metrics = (policy.policy_loss, value_loss, -policy.entropy, policy.approx_kl, policy.clip_fraction)
            values_gradient = errors * (2 * config.value_coefficient / len(minibatch))
            self.total.zero_()
            torch.autograd.backward((logits, values), (policy.logits_gradient, values_gradient))
            return torch.stack(metrics)

        return gradient_of


class CompiledCompute:
    """Computes with compiled code in `threads` threads. The results are equal to the bit for any number of threads."""

    # A minibatch's gradient is summed in this many parts, whatever the number of threads.
    PARTS = 8

    def __init__(self, network: ActorCritic, parameters: FlatParameters, config: PPOConfig, threads: int) -> None:
        flat, self.total = parameters.values.numpy(), parameters.gradient.numpy()
        split = sum(parameter.numel() for parameter in network.actor.parameters())
        self.actor = FlatNetwork(flat[:split], np.array(network.actor.sizes))
        self.critic = FlatNetwork(flat[split:], np.array(network.critic.sizes))
        self.settings = LossSettings(
            config.clip_range, config.entropy_coefficient, config.value_coefficient, config.value_clip_range
        )
        self.sums = PartialSums(np.empty((self.PARTS, len(flat)), np.float32), np.empty((self.PARTS, 5)))
        self.scratch = [tuple(allocate_scratch(self.actor, self.critic)) for _ in range(threads)]
        self.other_threads = ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="compute")
        # The BLAS's own threads would compete with these for the cores.
        threadpool_limits(1, user_api="blas")

    def act(self, inputs: Floats, uniform: Floats) -> tuple[Integers, Floats]:
        actions, log_probs = np.empty(len(inputs), np.int64), np.empty(len(inputs), np.float32)
        self._run_in_threads(block_count(inputs), draw_actions, self.actor, inputs, uniform, actions, log_probs)
        return actions, log_probs

    def values(self, inputs: Tensor) -> Tensor:
        values = torch.empty(len(inputs))
        self._run_in_threads(block_count(inputs), predict_values, self.critic, inputs.numpy(), values.numpy())
        return values

    def gradient(self, batch: Batch) -> Gradient:
        samples = Samples(*(tensor.numpy() for tensor in vars(batch).values()))

        def gradient_of(rows: Tensor) -> Tensor:
            minibatch = Minibatch(rows.numpy(), *moments(samples.advantages, rows.numpy()))
            parts = min(block_count(rows), self.PARTS)
            sums = PartialSums(self.sums.gradients[:parts], self.sums.reports[:parts])
            given = minibatch, samples, self.actor, self.critic, self.settings, sums
            self._run_in_threads(parts, minibatch_gradient, *given)
            report = torch.empty(5, dtype=torch.float64)
            add_up(*sums, self.total, report.numpy())
            return report

        return gradient_of

    def _run_in_threads(self, pieces: int, kernel: Callable[..., None], *given: Any) -> None:
        """Run `kernel(piece, pieces, scratch, *given)` for each piece; each thread takes the next waiting piece.

        NamedTuples are passed as plain tuples; compiled_networks.Items says why.
        """
        waiting = iter(range(pieces))
        arguments = [tuple(value) if isinstance(value, tuple) else value for value in given]

        def work(scratch: Items) -> None:
            for piece in waiting:
                kernel(piece, pieces, scratch, *arguments)

        others = [self.other_threads.submit(work, scratch) for scratch in self.scratch[1:pieces]]
        work(self.scratch[0])
        for other in others:
            other.result()


def block_count(rows: Sized) -> int:
    """Return the number of blocks of at most BLOCK rows."""
    return math.ceil(len(rows) / BLOCK)
