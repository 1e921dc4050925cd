"""PPO on a planted market: which share of the best policy's reward it earns."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.learning_tasks.planted_markets import PlantedMarket
from rl_training.core.config import PPOConfig
from rl_training.core.ppo.ppo import PPO


@dataclass(frozen=True)
class MarketTask:
    """A market to learn, the hyperparameters, the number of training steps, and the bars per training episode."""

    market: PlantedMarket
    ppo: PPOConfig
    steps: int
    episode: int

    def environment(self, seed: int) -> Any:
        """Return the vector environment to train on."""
        return self.market.seeded(seed).training(self.ppo.num_envs, self.episode, seed)

    def measure(self, seed: int) -> dict[str, float]:
        """Train with this seed, and follow the most probable actions on bars that were not trained on. Return

        figure   the policy's reward in percent of the best policy's, NaN if the best policy stays flat
        bp       the policy's reward in basis points per bar
        best     the best policy's reward on the same bars, in basis points per bar
        market   the percentage of bars with a position
        """
        market = self.market.seeded(seed)
        ppo = PPO(self.environment(seed), self.ppo, seed)
        ppo.learn(self.steps)
        bars = market.evaluation()
        policy, best = bars.follow_policy(ppo.predict), bars.follow_best(market.best())
        earned, possible = float(policy.rewards.mean()), float(best.rewards.mean())
        return {
            "figure": 100 * earned / possible if best.targets.any() else np.nan,
            "bp": earned,
            "best": possible,
            "market": 100 * float(np.mean(policy.targets != 0)),
        }
