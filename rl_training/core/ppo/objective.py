"""PPO's estimates and losses as pure functions: advantages, the clipped surrogate with its gradient, the value loss.

[PPO] Schulman et al., "Proximal Policy Optimization Algorithms" (2017), arXiv:1707.06347
[GAE] Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation" (2016),
      arXiv:1506.02438
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def generalised_advantages(
    rewards: Floats,
    values: Floats,
    next_values: Floats,
    terminated: Flags,
    ended: Flags,
    gamma: float,
    gae_lambda: float,
) -> Floats:
    """Return generalised advantage estimates by equation 16 of [GAE]; all arrays are [steps, num_envs].

    `next_values` are the values of the observations that the steps led to; for a truncated episode, this is its true
    last observation. No reward follows a terminated step. No advantage passes back over an ended step (terminated or
    truncated).
    """
    residuals = rewards + gamma * next_values * ~terminated - values
    carry = gamma * gae_lambda * ~ended
    advantages = np.empty_like(residuals)
    following = np.zeros_like(residuals[0])
    for step in reversed(range(len(residuals))):
        advantages[step] = following = residuals[step] + carry[step] * following
    return advantages


@dataclass(frozen=True)
class Batch:
    """The steps of one update: `observations` [n, size], the others [n].

    `log_probs` are the log probabilities of the actions under the policy that drew them.
    """

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    returns: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def take(self, rows: Tensor) -> "Batch":
        """Return a batch of these rows, int64 [m]."""
        return Batch(*(tensor[rows] for tensor in vars(self).values()))


class Surrogate(NamedTuple):
    """The policy's loss and metrics, all scalars, and the gradient with respect to the logits, [n, actions]."""

    policy_loss: Tensor
    entropy: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor
    logits_gradient: Tensor


def normalised(advantages: Tensor) -> Tensor:
    """Standardise a minibatch's advantages, [n]; a single advantage has no deviation and is returned unchanged.

    Detail 7 of Huang et al., "The 37 Implementation Details of Proximal Policy Optimization" (2022).
    """
    if len(advantages) < 2:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def clipped_surrogate(
    logits: Tensor, batch: Batch, advantages: Tensor, clip_range: float, entropy_coefficient: float
) -> Surrogate:
    """Return equation 7 of [PPO], negated, and the gradient with respect to `logits`, [n, actions].

    The gradient includes -`entropy_coefficient` times the mean entropy H. It is written out because automatic
    differentiation of these small arrays would take longer than that of the networks. With p = softmax(logits):
    d log p(a) / d logits = onehot(a) - p, and dH / d logits = -p (log p + H).
    """
    log_p = functional.log_softmax(logits, dim=1)
    p = log_p.exp()
    actions = batch.actions.unsqueeze(1)
    log_ratio = log_p.gather(1, actions).squeeze(1) - batch.log_probs
    ratio = log_ratio.exp()
    gain = ratio * advantages
    clipped_gain = ratio.clamp(1 - clip_range, 1 + clip_range) * advantages
    entropies = -(p * log_p).sum(1)

    # The derivative of min(gain, clipped_gain) with respect to log p(a). A smaller clipped gain is constant, with
    # derivative 0.
    slope = torch.where(gain <= clipped_gain, gain, 0.0).unsqueeze(1)
    gradient = p * (slope + entropy_coefficient * (log_p + entropies.unsqueeze(1)))
    gradient.scatter_add_(1, actions, -slope)
    return Surrogate(
        policy_loss=-torch.minimum(gain, clipped_gain).mean(),
        entropy=entropies.mean(),
        approx_kl=(ratio - 1 - log_ratio).mean(),  # Schulman, "Approximating KL divergence" (2020), k3
        clip_fraction=((ratio - 1).abs() > clip_range).float().mean(),
        logits_gradient=gradient / len(logits),
    )


def squared_errors(values: Tensor, batch: Batch, clip_range: float) -> tuple[Tensor, Tensor]:
    """Return half the derivative of each step's loss with respect to its value, [n], and the mean loss, a scalar.

    With `clip_range` 0, a step's loss is the squared error of its value. Otherwise it is the larger of two squared
    errors: of the value, and of the value clipped to within `clip_range` of its value at the time of the rollout. Where
    the clipped value's error is larger, it is constant and the derivative is 0. Detail 9 of Huang et al., "The 37
    Implementation Details of Proximal Policy Optimization" (2022); CleanRL's `clip_vloss`.
    """
    errors = values - batch.returns
    squares = errors.square()
    if clip_range:
        moved = values - (batch.returns - batch.advantages)
        held_back = (errors - moved + moved.clamp(-clip_range, clip_range)).square()
        errors = torch.where((moved.abs() <= clip_range) | (squares >= held_back), errors, 0.0)
        squares = torch.maximum(squares, held_back)
    return errors, squares.mean()


def explained_variance(values: Floats, returns: Floats) -> float:
    """Return 1 - Var(returns - values) / Var(returns): 1 for a perfect critic, 0 also if the returns do not vary."""
    variance = float(returns.var()) if len(returns) else 0.0
    return 1.0 - float((returns - values).var()) / variance if variance > 0 else 0.0
