"""The live version after 50 slots on planted markets, under each start rule, as a share of the best possible result."""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.learning_tasks.planted_markets import PlantedMarket, ar1, market_of_kind
from benchmarks.results.figures import Figure
from rl_training.core.config import PPOConfig, TrainingConfig
from rl_training.core.market.planted import planted_market
from rl_training.core.ppo.ensemble import AnyPolicy
from rl_training.core.run.checkpoint import SavedPolicy, load_policy
from rl_training.core.run.training import train

TRAINING_BARS, FRESH_BARS = 5_000, 12_000
SLOTS = 50


@dataclass(frozen=True)
class StartRule:
    """The start rule of each slot's run, and the number of members that the run trains."""

    name: str
    seeds: int
    continues: bool

    def last_version(self, market: PlantedMarket, slots: int, seed: int) -> AnyPolicy:
        """Return the version of the last of `slots` runs on the same bars.

        A version that starts from scratch does not depend on earlier versions, so only the last one is trained.
        """
        # The fresh bars play no part in training.
        training = market.market.model_copy(update={"bars": TRAINING_BARS, "train_fraction": 1.0})
        bars = planted_market(training)
        version: SavedPolicy | None = None
        with tempfile.TemporaryDirectory() as folder:
            for slot in range(slots) if self.continues else [slots - 1]:
                config = TrainingConfig(
                    market=training,
                    environment=market.environment,
                    ppo=PPOConfig(device="cpu"),
                    seeds=self.seeds,
                    seed=10_000 * seed + slot,
                )
                path = Path(folder) / str(slot)
                train(config, bars, initial_policy=version).save(path)
                version = load_policy(path)
        assert version is not None
        return version.policy


@dataclass(frozen=True)
class Kind:
    """A kind of planted market, and the share of the best possible result that the default must reach, in percent."""

    name: str
    market: PlantedMarket
    at_least: float | None

    def seeded(self, seed: int) -> PlantedMarket:
        """Return the market with bars of this seed: the first bars are for training, the others are fresh."""
        bars = TRAINING_BARS + FRESH_BARS
        changes = {"planted_seed": seed, "bars": bars, "train_fraction": TRAINING_BARS / bars}
        market = self.market.market.model_copy(update=changes)
        return PlantedMarket(market, self.market.cost, self.market.two_observations, bars)


KINDS = (
    Kind("AR(1) 0.2", ar1(0.2, 5, two_observations=False), 95.0),
    Kind("hidden regime", market_of_kind("regime", two_observations=False), 86.0),
    Kind("no structure", market_of_kind("independent", two_observations=False), None),
)


def start_rules(default_seeds: int) -> tuple[StartRule, ...]:
    """Return the default, the default with warm starts, and the behaviour before start rules existed."""
    return (
        StartRule(f"from scratch, {default_seeds} seeds (the default)", default_seeds, continues=False),
        StartRule(f"from the newest, {default_seeds} seeds", default_seeds, continues=True),
        StartRule("from the newest, 1 seed (the default before)", 1, continues=True),
    )


def measure(pool: Executor, default_seeds: int, market_seeds: Sequence[int], continued: int) -> Iterator[Figure]:
    """Yield the mean result on fresh bars over the markets of these seeds, for each kind and rule.

    `continued` is the number of slots for rules by which each run continues from the previous run.
    """
    for kind in KINDS:
        possible = np.mean([_possible(kind.seeded(seed)) for seed in market_seeds])
        for number, rule in enumerate(start_rules(default_seeds)):
            slots = continued if rule.continues else SLOTS
            tasks = [pool.submit(_earned, rule, kind.seeded(seed), slots, seed) for seed in market_seeds]
            earned = np.mean([task.result() for task in tasks])
            what = f"{kind.name}: version after {slots} slots, {rule.name}"
            if kind.at_least is None:
                yield Figure(f"{what}; the best possible is 0", float(earned), "bp a bar")
            else:
                target = kind.at_least if number == 0 else None
                yield Figure(what, float(100 * earned / possible), "% of the best possible", at_least=target)


def _possible(market: PlantedMarket) -> float:
    """Return the mean reward of the best possible policy on the fresh bars."""
    return float(market.evaluation().follow_best(market.best()).rewards.mean())


def _earned(rule: StartRule, market: PlantedMarket, slots: int, seed: int) -> float:
    """Return the mean reward of the last version on the fresh bars."""
    version = rule.last_version(market, slots, seed)
    return float(market.evaluation().follow_policy(version.predict).rewards.mean())
