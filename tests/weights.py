"""Policy versions with weights in the artifact storage, without a training."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.market.planted import planted_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.policy import Policy, PolicyShape
from rl_training.core.run.checkpoint import save_policy
from rl_training.core.trading.features import FeatureStatistics
from rl_training.core.trading.observation import observation_names
from rl_training.files import artifacts
from rl_training.models import PolicyStore, PolicyVersion
from tests.stored import finished_run

PLANTED = {"source": "planted", "bars": 600}
ENVIRONMENT = EnvironmentConfig(features=["log_return_1"])


def stored_version(
    policy: PolicyStore,
    number: int,
    last_bar: int = 299,
    market: Any = None,
    fee: float = 0.0005,
    noted: bool = True,
    features: Sequence[str] = ("log_return_1",),
    bars: MarketData | None = None,
) -> PolicyVersion:
    """Store a version with random weights that was trained until the bar `last_bar` of a planted market, or of `bars`.

    With `noted` False its files do not say so, like those of an older release.
    """
    market = market or PLANTED
    bars = bars or planted_market(MarketConfig.model_validate(PLANTED))
    environment = ENVIRONMENT.model_copy(update={"fee": fee, "features": list(features)})
    config = {"market": market, "environment": environment.model_dump(mode="json")}
    version = PolicyVersion(policy=policy, number=number, run=finished_run(policy, config=config), evaluation={})
    shape = PolicyShape(len(observation_names(environment)), 3, 0, (8,), False, False)
    weights = Policy.create(shape, torch.Generator().manual_seed(number))
    statistics = FeatureStatistics.fit(bars[: last_bar + 1], environment)
    metadata = {"trained_until": str(bars.timestamp[last_bar])} if noted else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy"
        version.sha256 = save_policy(path, weights, environment=environment, statistics=statistics, metadata=metadata)
        version.artifact = artifacts.store(path, artifacts.name_of(version.run, 1))
    version.save()
    return version
