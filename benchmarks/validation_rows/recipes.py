"""The recipes that are walked forward, and the verdict on one of them."""

from dataclasses import dataclass
from typing import Any

from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.evaluation.mean_test import resamples_for
from rl_training.core.market.bars import MarketData
from rl_training.core.run.walk_forward.fold_training import fold_policy, train_fold
from rl_training.core.run.walk_forward.folds import plan_folds
from rl_training.core.run.walk_forward.report import difference_tests
from rl_training.core.run.walk_forward.stitching import stitch
from rl_training.core.run.walk_forward.verdict import BUY_AND_HOLD, FLAT, WALK_FORWARD, Outcome, judge, trial_level

# The default number of members in PolicyStore.
DEFAULT_SEEDS = 3
# 4,000 walk-forwards of such recipes take about an hour on two cores.
SMALL: dict[str, Any] = {"num_envs": 64, "minibatch_size": 512, "hidden_sizes": [32]}


@dataclass(frozen=True)
class Recipe:
    """A recipe, and how many of the last bars each fold trains on; None for all."""

    config: TrainingConfig
    window: int | None = None


def default_recipe(fee: float | None = None) -> Recipe:
    """Return the recipe of a new policy, or the same with this fee and no slippage."""
    environment = EnvironmentConfig() if fee is None else EnvironmentConfig(fee=fee, slippage=0.0)
    return Recipe(TrainingConfig(environment=environment, seeds=DEFAULT_SEEDS))


def noise_recipes() -> list[Recipe]:
    """Return ten recipes with small networks and short training."""
    return [
        _small(),
        _small(gamma=0.9),
        _small(learning_rate=3e-4),
        _small(entropy_coefficient=0.05),
        _small(hidden_sizes=[32, 32]),
        _small(window=1500),
        _small(environment={"features": ["log_return_1", "log_return_5"]}),
        _small(environment={"positions": [0.0, 1.0]}),
        _small(environment={"episode_length": 128}),
        _small(episodes=4),
    ]


def _small(
    environment: dict[str, Any] | None = None, episodes: int = 1, window: int | None = None, **ppo: Any
) -> Recipe:
    config = TrainingConfig(
        environment=EnvironmentConfig(**(environment or {})),
        ppo=PPOConfig(**(SMALL | ppo)),
        episodes=episodes,
    )
    return Recipe(config, window)


def outcome_of(recipe: Recipe, market: MarketData, *, trial: int, alpha: float, folds: int) -> Outcome:
    """Return the verdict on a recipe that is the trial with this number on the market."""
    environment = recipe.config.environment
    planned = plan_folds(len(market), environment, folds=folds, window=recipe.window)
    trained = [fold_policy(fold, train_fold(recipe.config, market, fold)) for fold in planned]
    stitched = stitch(market, environment, trained)
    changes, names = stitched.changes, stitched.names
    own = changes[:, names.index(WALK_FORWARD)]
    differences = {name: own - changes[:, names.index(name)] for name in (FLAT, BUY_AND_HOLD)}
    tests = difference_tests(differences, resamples_for(trial_level(trial, alpha)), seed=0)
    p_above = {name: test.p_above for name, test in tests.items()}
    return judge(p_above, tests[FLAT].p_below, bars=len(own), trial=trial, alpha=alpha).outcome
