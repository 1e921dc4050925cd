"""What PPO estimates and optimises: advantages, the clipped surrogate, its gradient. Pure functions.

[PPO] Schulman et al., "Proximal Policy Optimization Algorithms" (2017), arXiv:1707.06347
[GAE] Schulman et al., "High-Dimensional Continuous Control Using Generalized Advantage Estimation" (2016), 1506.02438
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
    """Advantages, [steps, num_envs] like every argument; equation 16 of [GAE].

    `next_values` are of the observation that the step really led to, the true last one where an episode was cut off.
    A terminated step earns nothing afterwards; an ended one (terminated or cut off) passes no advantage back.
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
    """Steps to learn from, [n] each, `observations` [n, size]; `log_probs` are of the actions when they were drawn."""

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    returns: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def take(self, rows: Tensor) -> "Batch":
        return Batch(*(tensor[rows] for tensor in vars(self).values()))


class Surrogate(NamedTuple):
    """The policy's loss, its gradient with respect to the logits, and what is reported about it (scalars)."""

    policy_loss: Tensor
    entropy: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor
    logits_gradient: Tensor


def normalised(advantages: Tensor) -> Tensor:
    """Mean 0, deviation 1 within the minibatch; a single one has no deviation and is left as it is."""
    if len(advantages) < 2:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


def clipped_surrogate(
    logits: Tensor, batch: Batch, advantages: Tensor, clip_range: float, entropy_coefficient: float
) -> Surrogate:
    """Equation 7 of [PPO], negated, less `entropy_coefficient` times the entropy; `logits` [n, actions].

    The gradient is written out, as automatic differentiation of these small arrays takes longer than that of the
    networks. With p = softmax(logits): d log p(a) / d logits = onehot(a) - p, and dH / d logits = -p (log p + H).
    """
    log_p = functional.log_softmax(logits, dim=1)
    p = log_p.exp()
    actions = batch.actions.unsqueeze(1)
    log_ratio = log_p.gather(1, actions).squeeze(1) - batch.log_probs
    ratio = log_ratio.exp()
    gain = ratio * advantages
    clipped_gain = ratio.clamp(1 - clip_range, 1 + clip_range) * advantages
    entropies = -(p * log_p).sum(1)

    # Where the clipped gain is the smaller one it is constant, so that nothing pulls on the policy.
    pull = torch.where(gain <= clipped_gain, gain, 0.0).unsqueeze(1)
    gradient = p * (pull + entropy_coefficient * (log_p + entropies.unsqueeze(1)))
    gradient.scatter_add_(1, actions, -pull)
    return Surrogate(
        policy_loss=-torch.minimum(gain, clipped_gain).mean(),
        entropy=entropies.mean(),
        approx_kl=(ratio - 1 - log_ratio).mean(),  # Schulman, "Approximating KL divergence" (2020), k3
        clip_fraction=((ratio - 1).abs() > clip_range).float().mean(),
        logits_gradient=gradient / len(logits),
    )


def squared_errors(values: Tensor, batch: Batch, clip_range: float) -> tuple[Tensor, Tensor]:
    """The critic's errors that pull on it, [n], and its loss, their mean square (a scalar).

    With a `clip_range`, the loss of each step is the larger one of two: of its value, and of that value kept within
    `clip_range` of what it was when the rollout was made. Where that is the larger one, nothing pulls: the critic moves
    slowly. As in CleanRL's `clip_vloss`; detail 9 of Huang et al., "The 37 implementation details of proximal policy
    optimization" (2022), which finds no gain in general.
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
    """1 - Var(returns - values) / Var(returns): 1 is a perfect critic; 0 also where the returns do not vary."""
    variance = float(returns.var()) if len(returns) else 0.0
    return 1.0 - float((returns - values).var()) / variance if variance > 0 else 0.0
