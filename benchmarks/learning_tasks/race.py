"""A race to 97 % of the best policy's reward, between this project's PPO and stable-baselines3's."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.learning_tasks.market_tasks import MarketTask
from benchmarks.learning_tasks.planted_markets import EvaluationBars, ar1
from benchmarks.results.targets import Row, Target, median
from benchmarks.training_speed.stable_baselines import Predict, learn
from rl_training.core.config import PPOConfig
from rl_training.core.ppo.ppo import PPO

# The share of the best policy's reward at which the clock stops.
GOAL = 0.97
# The fastest of four settings for stable-baselines3, which keeps its learning rate and does not scale rewards.
FAST = PPOConfig(
    learning_rate=1e-3,
    gamma=0.9,
    gae_lambda=0.95,
    epochs=4,
    minibatch_size=512,
    entropy_coefficient=0.0,
    num_envs=32,
    rollout_length=64,
    device="cpu",
)
RACE_STEPS = 106_496
# The market that docs/learning.md names under "Time to 97 %", in episodes of 256 bars.
RACE = MarketTask(ar1(0.2, 10), FAST, RACE_STEPS, 256)


@dataclass(frozen=True)
class Race:
    """The time until an evaluation reaches GOAL, of this project's PPO and of stable-baselines3's on the same market.

    Both have the hyperparameters of `task` and are evaluated after every rollout; the clock `now` stops during
    evaluations. This project's PPO computes in `threads` threads, stable-baselines3's in one.
    """

    task: MarketTask
    now: Callable[[], float] = time.process_time
    threads: int = 1

    def measure(self, seed: int) -> dict[str, float]:
        """Run both with this seed, after a rollout and an update of each to warm up. Return

        ours     seconds of this project's PPO; infinite if it never reaches GOAL
        theirs   seconds of stable-baselines3's PPO
        figure   theirs / ours
        reached  percent of the best policy's reward when this project's clock stopped
        """
        market = self.task.market.seeded(seed)
        bars = market.evaluation()
        best = float(bars.follow_best(market.best()).rewards.mean())
        self._ours(seed, 1, lambda _: False)
        learn(self.task.environment(seed), self.task.ppo, 1, seed, lambda _: False)

        ours = Clock(bars, best, self.now)
        self._ours(seed, self.task.steps, lambda predict: not ours.reached(predict))

        env, theirs = self.task.environment(seed), Clock(bars, best, self.now)
        learn(env, self.task.ppo, self.task.steps, seed, lambda predict: not theirs.reached(predict))
        # If this project's PPO never reaches GOAL, it counts as infinitely slower.
        figure = theirs.seconds / ours.seconds if np.isfinite(ours.seconds) else 0.0
        return {"figure": figure, "ours": ours.seconds, "theirs": theirs.seconds, "reached": 100 * ours.share}

    def _ours(self, seed: int, steps: int, go_on: Callable[[Predict], bool]) -> None:
        ppo = PPO(self.task.environment(seed), self.task.ppo, seed, self.threads)
        ppo.learn(steps, lambda _: go_on(ppo.predict))


class Clock:
    """Measures the time, without evaluations, until an evaluation reaches GOAL x `best`, in basis points per bar."""

    def __init__(self, bars: EvaluationBars, best: float, now: Callable[[], float]) -> None:
        self.bars, self.best, self.now = bars, best, now
        self.seconds, self.share = np.inf, 0.0
        self._evaluating = 0.0
        self._started = now()

    def reached(self, predict: Predict) -> bool:
        """Evaluate, and return whether the reward reaches the goal."""
        began = self.now()
        self.share = float(self.bars.follow_policy(predict).rewards.mean()) / self.best
        if self.share >= GOAL:
            self.seconds = began - self._started - self._evaluating
        self._evaluating += self.now() - began
        return self.share >= GOAL


def race_row() -> Row:
    """Return the row that compares the time to 97 % with stable-baselines3's."""
    seconds = (
        Target("ours s", median, None, of="ours", form=".2f"),
        Target("theirs s", median, None, of="theirs", form=".2f"),
    )
    ratio = Target("median theirs / ours", median, 4.0)
    return Row("time to 97 %, against stable-baselines3", RACE.steps, Race(RACE).measure, (ratio, *seconds))
