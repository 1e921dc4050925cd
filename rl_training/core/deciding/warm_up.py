"""Compiles the code of a decision beforehand, so that the first decision does not wait for the compiler."""

import numpy as np

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.decision import NEW_ACCOUNT, choose, next_state
from rl_training.core.deciding.network import Network
from rl_training.core.market.planted import planted_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.compiled_policy import CompiledPolicy
from rl_training.core.trading.features import FeatureStatistics
from rl_training.core.trading.observation import observation_names


def warm_up() -> None:
    """Load the compiled code of a decision, and compile the functions that are not cached."""
    market = planted_market(MarketConfig(source="planted", bars=200))
    environment = EnvironmentConfig()
    size = len(observation_names(environment))
    actor, critic = (_zeros(size, outputs) for outputs in (len(environment.positions), 1))
    network = Network(actor, critic, environment, FeatureStatistics.fit(market, environment), "", None)
    choice = choose(network, market[:-1], NEW_ACCOUNT)
    next_state(NEW_ACCOUNT, choice.target, market[-1:], environment)


def _zeros(inputs: int, outputs: int) -> CompiledPolicy:
    sizes = np.array([inputs, 4, outputs])
    parameters = np.zeros((1, int((sizes[:-1] * sizes[1:]).sum() + sizes[1:].sum())), np.float32)
    means, scales = np.zeros((1, inputs), np.float32), np.ones((1, inputs), np.float32)
    return CompiledPolicy(parameters, sizes, means, scales, np.inf, 0)
