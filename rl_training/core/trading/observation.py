"""Observations of a policy: market features at a bar, and the state of its account at the close of that bar."""

import math

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from rl_training.core.compiled import compiled
from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.trading.accounting import ENTRY_EQUITY, EQUITY, PEAK, UNITS, Accounts, FloatArray
from rl_training.core.trading.features import (
    ACCOUNT_OBSERVATIONS,
    CLIP,
    FeatureStatistics,
    feature_names,
    longest_window,
    market_features,
)


def observation_names(config: EnvironmentConfig) -> tuple[str, ...]:
    """Return the names of the entries of an observation, in order."""
    return feature_names(config.features) + ACCOUNT_OBSERVATIONS


class Observer:
    """Makes the observations at the bars of one market, for training, evaluation and live decisions.

    An observation is float32, [D]. It holds the market features of the bar, standardised by `statistics`, and the state
    of the account; the observation table of `TradingEnv` specifies the entries.

    Raises ValueError if `statistics` belong to other features than those of `config`.
    """

    def __init__(self, market: MarketData, config: EnvironmentConfig, statistics: FeatureStatistics) -> None:
        names = feature_names(config.features)
        if statistics.names != names:
            raise ValueError(
                f"feature statistics: they are those of {statistics.names}, but the environment observes {names}"
            )
        self.statistics = statistics
        self.first_bar = longest_window(config.features)
        self._close = market.close
        self.width = len(names)
        # The rows have room for the account's entries, so that one lookup gives the array that observe() returns.
        self.rows = np.empty((len(market), self.width + len(ACCOUNT_OBSERVATIONS)), np.float32)
        self.rows[:, : self.width] = statistics.standardise(market_features(market, config.features))
        self.largest_position = 2.0 * max(abs(position) for position in config.positions)
        self.space = Box(
            np.array([-CLIP] * self.width + [-self.largest_position, -CLIP, 0.0], np.float32),
            np.array([CLIP] * self.width + [self.largest_position, CLIP, 1.0], np.float32),
        )

    def observe(self, bar: npt.NDArray[np.int64], accounts: Accounts) -> npt.NDArray[np.float32]:
        """Return observations of N accounts at the closes of their bars, [N, D]; complete from `first_bar` on."""
        observation: npt.NDArray[np.float32] = self.rows.take(bar, axis=0)
        fill_in(
            observation,
            self.width,
            self.largest_position,
            self._close.take(bar),
            accounts.rows,
        )
        return observation


@compiled
def observe_account(
    position: float, unrealised: float, drawdown: float, largest_position: float
) -> tuple[float, float, float]:
    """Return the account's entries of an observation, in the order of ACCOUNT_OBSERVATIONS."""
    return min(max(position, -largest_position), largest_position), min(max(unrealised, -CLIP), CLIP), drawdown


@compiled
def fill_in(
    observation: npt.NDArray[np.float32],
    width: int,
    largest_position: float,
    close: FloatArray,
    accounts: FloatArray,
) -> None:
    """Write the account's entries into observations, [N, D], after their `width` features.

    `close` is [N]. `accounts` has the rows of `Accounts`, for N accounts or more; the first N are observed.
    """
    for i in range(len(observation)):
        equity = accounts[EQUITY, i]
        position = accounts[UNITS, i] * close[i] / equity
        unrealised = math.log(equity / accounts[ENTRY_EQUITY, i])
        drawdown = 1.0 - equity / accounts[PEAK, i]
        entries = observe_account(position, unrealised, drawdown, largest_position)
        observation[i, width], observation[i, width + 1], observation[i, width + 2] = entries
