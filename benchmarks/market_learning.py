"""PPO on a planted market: how much of the best policy's reward it earns, and how soon."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.markets import EvaluationBars, PlantedMarket
from rl_training.core.config import PPOConfig
from rl_training.core.ppo import PPO

# Of the best policy's reward, on which the clock stops.
GOAL = 0.97


@dataclass(frozen=True)
class MarketTask:
    """A market, and with which hyperparameters, for how many steps, in episodes of how many bars it is learnt."""

    market: PlantedMarket
    ppo: PPOConfig
    steps: int
    episode: int

    def environment(self, seed: int) -> Any:
        return self.market.seeded(seed).training(self.ppo.num_envs, self.episode, seed)

    def measure(self, seed: int) -> dict[str, float]:
        """After training, on bars not trained on, following the most probable actions:

        figure   100 x the policy's reward over the best one's, NaN where the best is to stay flat
        bp       the policy's reward in basis points a bar, and best, the best one's on the same bars
        market   percent of bars in the market
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


@dataclass(frozen=True)
class Race:
    """PPO here and stable-baselines3's on the same market: processor time until an evaluation reaches GOAL.

    Both are asked at every full rollout, outside the clock; each in a process's single thread.
    """

    task: MarketTask

    def measure(self, seed: int) -> dict[str, float]:
        """figure: how many times as long stable-baselines3 takes. ours, theirs: seconds; infinite where never."""
        from benchmarks.stable_baselines import learn  # optional: see stable_baselines_installed()

        market = self.task.market.seeded(seed)
        bars = market.evaluation()
        goal = GOAL * float(bars.follow_best(market.best()).rewards.mean())
        self._warm_up(seed)

        env, clock = self.task.environment(seed), Clock(bars, goal)
        ppo = PPO(env, self.task.ppo, seed)
        ppo.learn(self.task.steps, lambda _: not clock.reached(ppo.predict))
        ours = clock.seconds

        env, clock = self.task.environment(seed), Clock(bars, goal)
        learn(env, self.task.ppo, self.task.steps, seed, lambda predict: not clock.reached(predict))
        # Where ours never gets there, it is infinitely slower.
        figure = clock.seconds / ours if np.isfinite(ours) else 0.0
        return {"figure": figure, "ours": ours, "theirs": clock.seconds}

    def _warm_up(self, seed: int) -> None:
        """A rollout and update of either: the first gradient in a process takes a second or two."""
        from benchmarks.stable_baselines import learn

        PPO(self.task.environment(seed), self.task.ppo, seed).learn(1)
        learn(self.task.environment(seed), self.task.ppo, 1, seed, lambda _: True)


class Clock:
    """Processor time spent outside of evaluations until one reaches `goal`, in basis points a bar."""

    def __init__(self, bars: EvaluationBars, goal: float) -> None:
        self.bars, self.goal = bars, goal
        self.seconds = np.inf
        self._evaluating = 0.0
        self._started = time.process_time()

    def reached(self, predict: Callable) -> bool:
        asked = time.process_time()
        reached = bool(self.bars.follow_policy(predict).rewards.mean() >= self.goal)
        if reached:
            self.seconds = asked - self._started - self._evaluating
        self._evaluating += time.process_time() - asked
        return reached


def stable_baselines_installed() -> bool:
    return importlib.util.find_spec("stable_baselines3") is not None
