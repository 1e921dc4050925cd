"""Walk-forwards with a planted leak of one bar, and how many of them are detected."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.results.figures import Figure
from benchmarks.validation_rows.markets import ar1_market
from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.run.walk_forward.fold_training import FoldPolicy, fold_policy, train_fold
from rl_training.core.run.walk_forward.folds import Fold, plan_folds
from rl_training.core.run.walk_forward.leaks import LeakError
from rl_training.core.run.walk_forward.stitching import stitch
from rl_training.core.trading import features
from rl_training.core.trading.features import FeatureStatistics

MARKETS = 2
# The size of the policy has no effect on the leaks.
RECIPE = TrainingConfig(ppo=PPOConfig(num_envs=16, minibatch_size=256, hidden_sizes=[8]), episodes=1)


def leaks() -> Iterator[Figure]:
    """Yield how many of 20 leaks are detected, and how many walk-forwards without a leak are refused."""
    planted = detected = wrong = 0
    for seed in range(MARKETS):
        market = ar1_market(seed)
        folds = plan_folds(len(market), RECIPE.environment, folds=2)
        for feature in EnvironmentConfig().features:
            with _one_bar_early(feature):
                detected += _is_refused(market, _trained(market, folds))
            planted += 1
        trained = _trained(market, folds)
        for leak in (_later_statistics, _later_training):
            detected += _is_refused(market, [leak(market, trained[0]), *trained[1:]])
            planted += 1
        wrong += _is_refused(market, trained)
    yield Figure(f"leaks of one bar detected, of {planted}", detected, "leaks", at_least=planted)
    yield Figure("walk-forwards without a leak that are refused", wrong, "walk-forwards", at_most=0)


def _trained(market: MarketData, folds: tuple[Fold, ...]) -> list[FoldPolicy]:
    return [fold_policy(fold, train_fold(RECIPE, market, fold)) for fold in folds]


def _is_refused(market: MarketData, trained: list[FoldPolicy]) -> bool:
    try:
        stitch(market, RECIPE.environment, trained)
    except LeakError:
        return True
    return False


@contextmanager
def _one_bar_early(name: str) -> Iterator[None]:
    """Plant a leak: a feature has at each bar its value at the next bar."""
    kept = features._FEATURES[name]
    features._FEATURES[name] = replace(kept, formula=partial(_shifted, kept.formula))
    try:
        yield
    finally:
        features._FEATURES[name] = kept


def _shifted(formula: Callable[[MarketData], npt.NDArray[np.float64]], bars: MarketData) -> Any:
    values = formula(bars)
    return np.concatenate([values[1:], values[-1:]])


def _later_statistics(market: MarketData, trained: FoldPolicy) -> FoldPolicy:
    """Plant a leak: the features are standardised with the statistics of one bar more."""
    bars = market[trained.fold.train_begin : trained.fold.train_end + 1]
    return replace(trained, statistics=FeatureStatistics.fit(bars, RECIPE.environment))


def _later_training(market: MarketData, trained: FoldPolicy) -> FoldPolicy:
    """Plant a leak: the policy is trained on one bar more."""
    longer = replace(trained.fold, train_end=trained.fold.train_end + 1)
    return replace(fold_policy(longer, train_fold(RECIPE, market, longer)), fold=trained.fold)
