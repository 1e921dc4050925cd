"""A walk-forward that takes a second: 3 folds of 2 members on 300 bars."""

from functools import cache

from rl_training.core.run.result import TrainingResult
from rl_training.core.run.walk_forward.fold_training import FoldPolicy, fold_policy, train_fold
from rl_training.core.run.walk_forward.folds import plan_folds
from rl_training.core.run.walk_forward.stitching import Stitched, stitch
from tests.core.run.small_run import CONFIG, changed
from tests.trading_cases import random_market

MARKET = random_market(300, seed=4)
RECIPE = changed(CONFIG, episodes=2, seeds=2, environment__features=["log_return_5", "range"])
FOLDS = plan_folds(300, RECIPE.environment, folds=3)


@cache
def result(number: int, market=MARKET, config=RECIPE) -> TrainingResult:
    return train_fold(config, market, FOLDS[number])


def policies(count: int = 3) -> list[FoldPolicy]:
    return [fold_policy(fold, result(fold.number)) for fold in FOLDS[:count]]


@cache
def stitched() -> Stitched:
    return stitch(MARKET, RECIPE.environment, policies())
