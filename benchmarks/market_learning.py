"""PPO on a planted market: how much of the best policy's reward it earns, and how soon."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.markets import EvaluationBars, PlantedMarket
from rl_training.core.config import PPOConfig
from rl_training.core.ppo.ppo import PPO

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
    """PPO here and stable-baselines3's on the same market: time until an evaluation reaches GOAL.

    Both have the hyperparameters of `task` and are evaluated after every rollout, outside the clock `now`. Ours
    computes in `threads` threads, stable-baselines3 in one.
    """

    task: MarketTask
    now: Callable[[], float] = time.process_time
    threads: int = 1

    def measure(self, seed: int) -> dict[str, float]:
        """From building the trainer on, once either has made a rollout and an update to warm up:

        ours, theirs  seconds; infinite where never
        figure        how many times as long stable-baselines3 takes
        reached       percent of the optimum when our clock stopped
        """
        from benchmarks.stable_baselines import learn  # optional: see stable_baselines_installed()

        market = self.task.market.seeded(seed)
        bars = market.evaluation()
        best = float(bars.follow_best(market.best()).rewards.mean())
        self._ours(seed, 1, lambda _: False)
        learn(self.task.environment(seed), self.task.ppo, 1, seed, lambda _: False)

        ours = Clock(bars, best, self.now)
        self._ours(seed, self.task.steps, lambda predict: not ours.reached(predict))

        env, theirs = self.task.environment(seed), Clock(bars, best, self.now)
        learn(env, self.task.ppo, self.task.steps, seed, lambda predict: not theirs.reached(predict))
        # Where ours never gets there, it is infinitely slower.
        figure = theirs.seconds / ours.seconds if np.isfinite(ours.seconds) else 0.0
        return {"figure": figure, "ours": ours.seconds, "theirs": theirs.seconds, "reached": 100 * ours.share}

    def _ours(self, seed: int, steps: int, go_on: Callable[[Callable], bool]) -> None:
        ppo = PPO(self.task.environment(seed), self.task.ppo, seed, self.threads)
        ppo.learn(steps, lambda _: go_on(ppo.predict))


class Clock:
    """Time spent outside of evaluations until one reaches GOAL of `best`, in basis points a bar."""

    def __init__(self, bars: EvaluationBars, best: float, now: Callable[[], float]) -> None:
        self.bars, self.best, self.now = bars, best, now
        self.seconds, self.share = np.inf, 0.0
        self._evaluating = 0.0
        self._started = now()

    def reached(self, predict: Callable) -> bool:
        asked = self.now()
        self.share = float(self.bars.follow_policy(predict).rewards.mean()) / self.best
        if self.share >= GOAL:
            self.seconds = asked - self._started - self._evaluating
        self._evaluating += self.now() - asked
        return self.share >= GOAL


def stable_baselines_installed() -> bool:
    return importlib.util.find_spec("stable_baselines3") is not None
