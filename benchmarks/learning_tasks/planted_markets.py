"""Planted markets for PPO to learn, and their evaluation bars, on which a policy is compared with the best one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box
from gymnasium.vector import VectorWrapper
from gymnasium.vector.utils import batch_space

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.optimum import POSITIONS, Optimum, optimum, upward_probability
from rl_training.core.market.bars import split_market
from rl_training.core.market.planted import planted_market, planted_returns
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.environment import TradingVectorEnv

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BARS = 250_000
TRAIN_FRACTION = 0.8
# The later bars are divided into this many consecutive stretches, which are evaluated in parallel.
STRETCHES = 64


class LastReturnAndPosition(VectorWrapper[Any, Any, Any, Any, Any]):
    """Reduces the observations of a TradingVectorEnv with the feature log_return_1 to that return and the position."""

    SEEN = 2

    def __init__(self, env: TradingVectorEnv) -> None:
        super().__init__(env)
        space = env.single_observation_space
        assert isinstance(space, Box)
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
class Followed:
    """The result of a rule on the evaluation bars; both arrays are [steps, STRETCHES].

    targets   the positions that the rule chose
    rewards   change of log equity in basis points per bar, less the position times the unpredictable part of the bar's
              return, which has mean 0 for any rule. NaN if an account was ruined
    """

    targets: FloatArray
    rewards: FloatArray


@dataclass(frozen=True)
class PlantedMarket:
    """A planted market at a cost per unit of turnover, traded under TradingEnv's accounting.

    two_observations   whether the policy observes only the last return and its position, instead of all features
    bars               number of bars, of which the first TRAIN_FRACTION are for training
    """

    market: MarketConfig
    cost: float
    two_observations: bool
    bars: int = BARS

    def seeded(self, seed: int) -> "PlantedMarket":
        """Return the market with the bars of this seed."""
        market = {"planted_seed": seed, "bars": self.bars, "train_fraction": TRAIN_FRACTION}
        return replace(self, market=self.market.model_copy(update=market))

    @property
    def environment(self) -> EnvironmentConfig:
        """The rules of trading, with the market's cost as fee."""
        rules = EnvironmentConfig(fee=self.cost, slippage=0.0)
        return rules.model_copy(update={"features": ["log_return_1"]}) if self.two_observations else rules

    def training(self, num_envs: int, episode: int, seed: int) -> Any:
        """Return the vector environment to train on: the earlier bars, in episodes of `episode` bars."""
        earlier, _ = split_market(planted_market(self.market), self.market.train_fraction)
        rules = self.environment.model_copy(update={"episode_length": episode})
        return self._observed(TradingVectorEnv(earlier, rules, num_envs, seed))

    def evaluation(self) -> "EvaluationBars":
        """Return the later bars, observed with the feature statistics of the earlier ones."""
        earlier, later = split_market(planted_market(self.market), self.market.train_fraction)
        assert later is not None
        statistics = TradingVectorEnv(earlier, self.environment, 1).statistics
        length = (len(later) - 200) // STRETCHES
        rules = self.environment.model_copy(update={"episode_length": length})
        env = TradingVectorEnv(later, rules, STRETCHES, 0, statistics)
        returns = planted_returns(self.market)[-len(later) :]
        return EvaluationBars(self._observed(env), length, returns, *self._predictable(returns))

    def best(self) -> Optimum:
        """Return the best policy on this market, for any seed."""
        return _best(self.market.model_copy(update={"planted_seed": 0}).model_dump_json(), self.cost)

    def _observed(self, env: TradingVectorEnv) -> Any:
        return LastReturnAndPosition(env) if self.two_observations else env

    def _predictable(self, returns: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the signal after each bar, and the expected next return given the signal."""
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
    """Bars that were not trained on.

    env       the vector environment of the bars
    length    bars per stretch
    returns   the bars' log returns, [bars]
    signals   what is known of the next return after each bar, [bars]
    expected  the next return's expectation given the signal, [bars]
    """

    env: Any
    length: int
    returns: FloatArray
    signals: FloatArray
    expected: FloatArray

    def follow_policy(self, predict: Callable[[npt.NDArray[np.float32]], IntArray]) -> Followed:
        """Follow the actions, [N], that `predict` returns for observations, [N, D]."""
        return self._follow(lambda observations, _bar, _held: predict(observations))

    def follow_best(self, best: Optimum) -> Followed:
        """Follow the best policy, which observes the signals."""
        return self._follow(
            lambda _observations, bar, held: np.searchsorted(POSITIONS, best.decide(self.signals[bar], held))
        )

    def _follow(self, decide: Callable[[Any, IntArray, FloatArray], IntArray]) -> Followed:
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
                # The account restarts at a random bar, so the following rewards belong to other bars.
                return Followed(targets[: step + 1], np.full((step + 1, STRETCHES), np.nan))
            rewards[step] = 1e4 * (reward - held * (self.returns[bar + 1] - self.expected[bar]))
        return Followed(targets, rewards)


def ar1(phi: float, basis_points: float, two_observations: bool = True) -> PlantedMarket:
    """Return a market whose log returns follow AR(1) with coefficient `phi`, at a cost in basis points."""
    market = MarketConfig(source="planted", planted_kind="ar1", planted_phi=phi)
    return PlantedMarket(market, basis_points / 1e4, two_observations)


def market_of_kind(kind: str, two_observations: bool) -> PlantedMarket:
    """Return a market of another planted kind, at 5 basis points."""
    market = MarketConfig.model_validate({"source": "planted", "planted_kind": kind})
    return PlantedMarket(market, 0.0005, two_observations)
