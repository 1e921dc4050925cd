"""Where the networks are evaluated and PPO's gradient is computed: by torch on any device, or compiled for processors.

Both give the same numbers. Torch's is the one to read; the other is several times as fast on a processor.
"""

import math
from collections.abc import Callable, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - the BLAS that compiled code calls, there before its threads are set
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from rl_training.core.config import PPOConfig
from rl_training.core.ppo.compiled_networks import (
    BLOCK,
    Floats,
    Integers,
    Scratch,
    allocate_scratch,
    draw_actions,
    predict_values,
)
from rl_training.core.ppo.compiled_objective import add_up, minibatch_gradient, moments
from rl_training.core.ppo.networks import ActorCritic, FlatParameters, draw
from rl_training.core.ppo.objective import Batch, clipped_surrogate, normalised, squared_errors

# With more, products take nearly all of the time, which torch is as good at.
MOST_COMPILED_PARAMETERS = 2**20


# The gradient for some of a batch's rows: sets the parameters' gradient and returns what ppo.MINIBATCH_METRICS names.
Gradient = Callable[[Tensor], Tensor]


class Compute(Protocol):
    def act(self, inputs: Floats, uniform: Floats) -> tuple[Integers, Floats]:
        """Actions, [n], for `inputs`, [n, size], by numbers drawn uniformly from 0 to 1, [n]; their log probabilities.

        See networks.draw().
        """

    def values(self, inputs: Tensor) -> Tensor:
        """[n, size] -> [n], on the network's device like all tensors here."""

    def gradient(self, batch: Batch) -> Gradient:
        """Of PPO's loss over rows of the batch."""


def compute_for(network: ActorCritic, parameters: FlatParameters, config: PPOConfig, threads: int) -> Compute:
    """The faster one where the network is; `parameters` are its own.

    Torch, where it computes, does so in as many threads too, to which it is set in this process.
    """
    if network.device.type == "cpu" and len(parameters.values) <= MOST_COMPILED_PARAMETERS:
        return CompiledCompute(network, parameters, config, threads)
    torch.set_num_threads(threads)
    return TorchCompute(network, parameters, config)


class TorchCompute:
    """By torch's operations and automatic differentiation."""

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

        def of(rows: Tensor) -> Tensor:
            minibatch = batch.take(rows)
            logits = self.network.logits(minibatch.observations)
            values = self.network.values(minibatch.observations)
            with torch.no_grad():
                advantages = normalised(minibatch.advantages)
                policy = clipped_surrogate(logits, minibatch, advantages, config.clip_range, config.entropy_coefficient)
                errors, value_loss = squared_errors(values, minibatch, config.value_clip_range)
                figures = (policy.policy_loss, value_loss, -policy.entropy, policy.approx_kl, policy.clip_fraction)
            values_gradient = errors * (2 * config.value_coefficient / len(minibatch))
            self.total.zero_()
            torch.autograd.backward((logits, values), (policy.logits_gradient, values_gradient))
            return torch.stack(figures)

        return of


class CompiledCompute:
    """By the compiled passes in `threads` threads; how many of them there are does not change a bit of the results."""

    # Into how many parts a minibatch's gradient is summed up, whatever the number of threads.
    PARTS = 8

    def __init__(self, network: ActorCritic, parameters: FlatParameters, config: PPOConfig, threads: int) -> None:
        self.config = config
        self.sizes = np.array(network.actor.sizes), np.array(network.critic.sizes)
        flat, self.total = parameters.values.numpy(), parameters.gradient.numpy()
        split = sum(parameter.numel() for parameter in network.actor.parameters())
        self.networks = flat[:split], self.sizes[0], flat[split:], self.sizes[1]
        self.gradients = np.empty((self.PARTS, len(flat)), np.float32)
        self.reports = np.empty((self.PARTS, 5))
        self.scratch = [allocate_scratch(*self.sizes) for _ in range(threads)]
        self.others = ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="compute")
        # Threads of the BLAS's own would only get in the way of these.
        threadpool_limits(1, user_api="blas")

    def act(self, inputs: Floats, uniform: Floats) -> tuple[Integers, Floats]:
        actions, log_probs = np.empty(len(inputs), np.int64), np.empty(len(inputs), np.float32)
        self._share_out(blocks(inputs), draw_actions, *self.networks[:2], inputs, uniform, actions, log_probs)
        return actions, log_probs

    def values(self, inputs: Tensor) -> Tensor:
        values = torch.empty(len(inputs))
        self._share_out(blocks(inputs), predict_values, *self.networks[2:], inputs.numpy(), values.numpy())
        return values

    def gradient(self, batch: Batch) -> Gradient:
        given = tuple(tensor.numpy() for tensor in vars(batch).values())
        advantages = batch.advantages.numpy()
        config = self.config
        settings = (
            config.clip_range,
            config.entropy_coefficient,
            config.value_coefficient,
            config.value_clip_range,
        )

        def of(rows: Tensor) -> Tensor:
            steps, parts = rows.numpy(), min(blocks(rows), self.PARTS)
            gradients, reports = self.gradients[:parts], self.reports[:parts]
            scaling = moments(advantages, steps)
            given_all = steps, *given, *scaling, *self.networks, *settings, gradients, reports
            self._share_out(parts, minibatch_gradient, *given_all)
            report = torch.empty(5, dtype=torch.float64)
            add_up(gradients, reports, self.total, report.numpy())
            return report

        return of

    def _share_out(self, pieces: int, kernel: Callable[..., None], *given: Any) -> None:
        """Let the threads carry out the pieces of a task, each taking the next one that nobody has begun."""
        waiting = iter(range(pieces))

        def work(scratch: Scratch) -> None:
            for piece in waiting:
                kernel(piece, pieces, scratch, *given)

        others = [self.others.submit(work, scratch) for scratch in self.scratch[1:pieces]]
        work(self.scratch[0])
        for other in others:
            other.result()


def blocks(rows: Sized) -> int:
    return math.ceil(len(rows) / BLOCK)
