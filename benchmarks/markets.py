"""Planted markets for PPO to learn, and how close a policy comes to the best one on bars it was not trained on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box
from gymnasium.vector import VectorWrapper
from gymnasium.vector.utils import batch_space

from benchmarks.optimum import POSITIONS, Optimum, optimum, upward_probability
from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import split_market
from rl_training.core.market.planted import planted_market, planted_returns
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.environment import TradingVectorEnv

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BARS = 250_000
TRAIN_FRACTION = 0.8
# Evaluation is in as many stretches, one after the other in the later bars and passed through at the same time.
STRETCHES = 64


class LastReturnAndPosition(VectorWrapper[Any, Any, Any, Any, Any]):
    """Of the observations of a TradingVectorEnv with the one feature log_return_1, the return and the position."""

    SEEN = 2

    def __init__(self, env: TradingVectorEnv) -> None:
        super().__init__(env)
        space = env.single_observation_space
        self.single_observation_space = Box(space.low[: self.SEEN], space.high[: self.SEEN])
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
        observations, info = self.env.reset(**given)
        return observations[:, : self.SEEN], info

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        for env in np.flatnonzero(info.get("_final_obs", ())):
            info["final_obs"][env] = info["final_obs"][env][: self.SEEN]
        return observations[:, : self.SEEN], rewards, terminated, truncated, info


@dataclass(frozen=True)
class Passage:
    """What following a rule through the evaluation bars gave; both [steps, STRETCHES].

    targets   positions decided on
    rewards   log-equity in basis points a bar, less exposure x what nothing foretold of the bar's return: the chance
              that is left out has mean 0 whatever the rule. NaN where an account was ruined
    """

    targets: FloatArray
    rewards: FloatArray


@dataclass(frozen=True)
class PlantedMarket:
    """A planted market at a cost per unit of turnover, traded under TradingEnv's accounting.

    two_observations   the policy sees the last return and its position, not all of TradingEnv's observation
    bars               of which the first TRAIN_FRACTION are to train on
    """

    market: MarketConfig
    cost: float
    two_observations: bool
    bars: int = BARS

    def seeded(self, seed: int) -> "PlantedMarket":
        market = {"planted_seed": seed, "bars": self.bars, "train_fraction": TRAIN_FRACTION}
        return replace(self, market=self.market.model_copy(update=market))

    @property
    def environment(self) -> EnvironmentConfig:
        rules = EnvironmentConfig(fee=self.cost, slippage=0.0)
        return rules.model_copy(update={"features": ["log_return_1"]}) if self.two_observations else rules

    def training(self, num_envs: int, episode: int, seed: int) -> Any:
        """The vector environment to train on, over the earlier bars, in episodes of so many."""
        earlier, _ = split_market(planted_market(self.market), self.market.train_fraction)
        rules = self.environment.model_copy(update={"episode_length": episode})
        return self._observed(TradingVectorEnv(earlier, rules, num_envs, seed))

    def evaluation(self) -> "EvaluationBars":
        """The later bars, observed with the earlier ones' feature statistics."""
        earlier, later = split_market(planted_market(self.market), self.market.train_fraction)
        statistics = TradingVectorEnv(earlier, self.environment, 1).statistics
        length = (len(later) - 200) // STRETCHES
        rules = self.environment.model_copy(update={"episode_length": length})
        env = TradingVectorEnv(later, rules, STRETCHES, 0, statistics)
        returns = planted_returns(self.market)[-len(later) :]
        return EvaluationBars(self._observed(env), length, returns, *self._foretold(returns))

    def best(self) -> Optimum:
        return _best(self.market.model_copy(update={"planted_seed": 0}).model_dump_json(), self.cost)

    def _observed(self, env: TradingVectorEnv) -> Any:
        return LastReturnAndPosition(env) if self.two_observations else env

    def _foretold(self, returns: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The signal after each bar, and the expectation of the next return given it."""
        match self.market.planted_kind:
            case "ar1":
                return returns, self.market.planted_phi * returns
            case "regime":
                signals = upward_probability(returns, self.market)
                return signals, self.market.planted_drift * (2 * signals - 1)
        return returns, np.zeros(len(returns))


@cache
def _best(market: str, cost: float) -> Optimum:
    return optimum(MarketConfig.model_validate_json(market), cost, "held")


@dataclass(frozen=True)
class EvaluationBars:
    """Bars not trained on. `signals` and `expected`: what is known after each bar, and what it says of the next."""

    env: Any
    length: int
    returns: FloatArray
    signals: FloatArray
    expected: FloatArray

    def follow_policy(self, predict: Callable[[npt.NDArray[np.float32]], IntArray]) -> Passage:
        """Follow actions for observations, [N, D] -> [N]."""
        return self._follow(lambda observations, _bar, _held: predict(observations))

    def follow_best(self, best: Optimum) -> Passage:
        return self._follow(
            lambda _observations, bar, held: np.searchsorted(POSITIONS, best.decide(self.signals[bar], held))
        )

    def _follow(self, decide: Callable[[Any, IntArray, FloatArray], IntArray]) -> Passage:
        first = len(self.returns) - 1 - self.length * STRETCHES
        starts = first + self.length * np.arange(STRETCHES)
        observations, _ = self.env.reset(options={"start": starts})
        held = np.zeros(STRETCHES)
        targets, rewards = np.empty((2, self.length, STRETCHES))
        for step in range(self.length):
            bar = starts + step
            actions = decide(observations, bar, held)
            targets[step] = held = POSITIONS[actions]
            observations, reward, terminated, _, _ = self.env.step(actions)
            if terminated.any():
                # Its account begins anew elsewhere, so that its rewards are of other bars from then on.
                return Passage(targets[: step + 1], np.full((step + 1, STRETCHES), np.nan))
            rewards[step] = 1e4 * (reward - held * (self.returns[bar + 1] - self.expected[bar]))
        return Passage(targets, rewards)
