"""Copies of policies for the compiled code of compiled_policy.py."""

import numpy as np

from rl_training.core.ppo.compiled_policy import OBSERVATION_CLIP, CompiledPolicy
from rl_training.core.ppo.compute import MOST_COMPILED_PARAMETERS
from rl_training.core.ppo.ensemble import AnyPolicy


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
