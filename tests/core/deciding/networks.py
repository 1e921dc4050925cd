"""Policies with random weights, as torch holds them and as a deciding process reads them."""

from pathlib import Path

import torch

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.network import Network, load_network
from rl_training.core.market.bars import MarketData
from rl_training.core.ppo.ensemble import AnyPolicy, combined
from rl_training.core.ppo.policy import Policy, PolicyShape
from rl_training.core.run.checkpoint import save_policy
from rl_training.core.trading.features import FeatureStatistics
from rl_training.core.trading.observation import observation_names


def random_policy(environment: EnvironmentConfig, members: int = 1, normalises: bool = False) -> AnyPolicy:
    """Return a policy whose decisions vary from bar to bar."""
    size = len(observation_names(environment))
    shape = PolicyShape(size, len(environment.positions), 0, (16, 16), normalises, False)
    policies = [Policy.create(shape, torch.Generator().manual_seed(seed)) for seed in range(members)]
    for policy in policies:
        for parameter in policy.network.parameters():
            parameter.data *= 3
        if policy.observations is not None:
            policy.observations.update(torch.randn(50, size, generator=torch.Generator().manual_seed(9)).numpy())
    return combined(policies)


def stored_network(folder: Path, policy: AnyPolicy, environment: EnvironmentConfig, market: MarketData) -> Network:
    """Store the policy with statistics of the market, and return what a deciding process reads."""
    statistics = FeatureStatistics.fit(market, environment)
    metadata = {"trained_until": "2024-01-05T00:00:00"}
    save_policy(folder / "policy", policy, environment=environment, statistics=statistics, metadata=metadata)
    return load_network(folder / "policy")
