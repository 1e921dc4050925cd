"""Checks before a training run: enough bars, and an initial policy that fits the config."""

from rl_training.core.config import TrainingConfig
from rl_training.core.market.bars import MarketData, MarketDataError, split_market
from rl_training.core.run.checkpoint import SavedPolicy
from rl_training.core.run.enough import too_few_bars
from rl_training.core.run.form import differing, form_of
from rl_training.core.trading.observation import observation_names


class PolicyMismatchError(ValueError):
    """The weights of a policy cannot be used under a config. The message names each setting that differs."""


def check_fits(policy: SavedPolicy, config: TrainingConfig, market: MarketData) -> None:
    """Raise PolicyMismatchError unless training under `config` can continue from `policy`.

    Training can continue if the network and the observations have the same form, and if the policy, and each policy
    that it continued from, was trained only on bars before the evaluation bars of the new run.
    """
    shape, environment = policy.policy.shape, policy.environment
    was = {
        "features": list(environment.features),
        "positions": list(environment.positions),
        "observation size": shape.observation_size,
        "hidden_sizes": list(shape.hidden_sizes),
        "normalize_observations": shape.normalises_observations,
        "normalize_rewards": shape.normalises_rewards,
    }
    now = form_of(config.environment, config.ppo) | {"observation size": len(observation_names(config.environment))}
    problems = [f"{name}: the policy's {was[name]}, the config's {now[name]}" for name in differing(was, now)]
    later = split_market(market, config.market.train_fraction)[1]
    if later is not None and policy.trained_until is not None and later.timestamp[0] <= policy.trained_until:
        first = later.timestamp[0]
        problems.append(f"bars: the policy was trained until {policy.trained_until}, the evaluation begins at {first}")
    if problems:
        raise PolicyMismatchError(f"the policy does not fit the config: {'; '.join(problems)}")


def check_enough(config: TrainingConfig, training: MarketData, later: MarketData | None) -> None:
    """Raise MarketDataError with the number of bars needed, if the training slice or the later slice is too short.

    If all bars are for training, `later` is None.
    """
    bars = len(training) + len(later or ())
    if problem := too_few_bars(bars, config.market.train_fraction, config.environment):
        raise MarketDataError(problem, file=config.market.label)
