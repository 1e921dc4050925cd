"""The config and the market of a training run that takes a second, and functions that tests of it share."""

from collections.abc import Callable
from itertools import count

import numpy as np

from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.market_config import MarketConfig

# 5 episodes of 24 steps in 4 environments make 7 iterations of 16 steps per environment, and one of 8 steps.
CONFIG = TrainingConfig(
    market=MarketConfig(train_fraction=0.7),
    environment=EnvironmentConfig(episode_length=24, features=["log_return_1"]),
    ppo=PPOConfig(num_envs=4, rollout_length=16, minibatch_size=32, hidden_sizes=[8], normalize_observations=True),
    episodes=5,
    seed=7,
)


def bars(length):
    """Return `length` hourly bars of a random walk."""
    close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, length)))
    opened = np.concatenate([[100.0], close[:-1]])
    return MarketData(
        timestamp=np.datetime64("2020-01-01T00:00:00") + np.arange(length) * np.timedelta64(3600, "s"),
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.ones(length),
    )


MARKET = bars(300)


def changed(config, **settings):
    """Return the config with changed settings, such as `ppo__gamma=0.5`."""
    values = config.model_dump()
    for name, value in settings.items():
        *sections, field = name.split("__")
        part = values
        for section in sections:
            part = part[section]
        part[field] = value
    return TrainingConfig.model_validate(values)


def same(result, other):
    """Return whether two results are equal to the bit."""
    compared = (
        "stopped",
        "episode_rewards",
        "avg_policy_loss",
        "avg_value_loss",
        "curve",
        "weights_digest",
        "evaluation",
    )
    return all(getattr(result, name) == getattr(other, name) for name in compared)


class Killed(Exception):
    """Raised in a callback of train(), in place of a signal."""


def stop_after(iterations: int) -> Callable[[], bool]:
    """Return a `should_stop` for train() that is true from the given iteration on."""
    calls = count(1)
    return lambda: next(calls) >= iterations
