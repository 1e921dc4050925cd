"""The training of one fold of a walk-forward. It needs no other fold, unless the recipe continues from versions."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_training.core.config import TrainingConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.ppo.ensemble import AnyPolicy
from rl_training.core.run.checkpoint import SavedPolicy, load_policy
from rl_training.core.run.result import TrainingResult
from rl_training.core.run.training import train
from rl_training.core.run.walk_forward.folds import Fold
from rl_training.core.sealed import CheckpointError
from rl_training.core.trading.features import FeatureStatistics

FOLD = "fold"


@dataclass(frozen=True)
class FoldPolicy:
    """A fold with the policy that it trained, the feature statistics of its training bars, and their last timestamp."""

    fold: Fold
    policy: AnyPolicy
    statistics: FeatureStatistics
    trained_until: np.datetime64


def fold_config(config: TrainingConfig, fold: Fold) -> TrainingConfig:
    """Return the config of a fold of the recipe `config`: it trains on all its bars, with a seed of its own.

    The seed is numpy's `SeedSequence(seed, spawn_key=(number,)).generate_state(1)`, so that folds are practically
    independent. The seeds of a fold's members are derived from it, as in a run.
    """
    seed = int(np.random.SeedSequence(config.seed, spawn_key=(fold.number,)).generate_state(1)[0])
    market = config.market.model_copy(update={"train_fraction": 1.0})
    return config.model_copy(update={"market": market, "seed": seed})


def continues(start_from: str) -> bool:
    """Return whether a fold of a recipe with this start rule starts from the policy of the fold before it.

    With `newest` and `live` it does, because the newest and the live version at the beginning of a fold are those of
    the fold before. The first fold starts from scratch. Such folds can only be trained one after the other.
    """
    return start_from != "scratch"


def train_fold(
    config: TrainingConfig, market: MarketData, fold: Fold, *, previous: SavedPolicy | None = None, **options: Any
) -> TrainingResult:
    """Train the policy of a fold of the recipe `config` on the fold's training bars of `market`.

    previous  the stored policy of the fold before it, for recipes that continue from versions
    options   of train(), such as checkpoint, on_progress and should_stop

    The result depends on config, fold, previous and the fold's training bars alone, to the bit. Raises as train() does.
    """
    return train(fold_config(config, fold), fold.training(market), initial_policy=previous, **options)


def fold_policy(fold: Fold, result: TrainingResult) -> FoldPolicy:
    """Return the part of a fold's result that stitch() needs."""
    return FoldPolicy(fold, result.policy, result.statistics, result.trained_until)


def store_fold(path: Path, fold: Fold, result: TrainingResult, **metadata: Any) -> str:
    """Write the policy of a fold into a folder, which load_policy() reads too; return the digest of the weights."""
    return result.save(path, **{FOLD: asdict(fold)}, **metadata)


def load_fold(path: Path) -> FoldPolicy:
    """Return the fold of store_fold(). Raises CheckpointError as load_policy() does, or if it holds no fold."""
    saved = load_policy(path)
    fold, trained_until = saved.manifest["metadata"].get(FOLD), saved.trained_until
    if fold is None or trained_until is None:
        raise CheckpointError(f"{path}: is a policy, but not of a fold")
    return FoldPolicy(Fold(**fold), saved.policy, saved.statistics, trained_until)
