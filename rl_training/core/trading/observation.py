"""What a policy sees: market features up to a bar, and the state of its account there."""

import math

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from rl_training.core.compiled import compiled
from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.trading.accounting import Accounts, FloatArray
from rl_training.core.trading.features import CLIP, FeatureStatistics, feature_names, longest_window, market_features

ACCOUNT_OBSERVATIONS = ("position", "unrealised_log_return", "drawdown")


def observation_names(config: EnvironmentConfig) -> tuple[str, ...]:
    """Names of the entries of an observation, in their order."""
    return feature_names(config.features) + ACCOUNT_OBSERVATIONS


class Observer:
    """Observations at the bars of one market, for training, evaluation and live decisions alike.

    An observation is float32, [D]: the market features of the bar, standardised by `statistics` and clipped to +-5,
    then the account at its close: position (units x close / equity, the exposure held, within twice the largest
    target), unrealised log return (log of equity / equity just after the last trade, within +-5) and drawdown
    (1 - equity / its highest close in this episode, 0 to 1).
    """

    def __init__(self, market: MarketData, config: EnvironmentConfig, statistics: FeatureStatistics) -> None:
        names = feature_names(config.features)
        if statistics.names != names:
            raise ValueError(f"feature statistics: they are of {statistics.names}, the environment observes {names}")
        self.statistics = statistics
        self.first_bar = longest_window(config.features)
        self._close = market.close
        self.width = len(names)
        # The account's entries share the rows, so that one lookup gives the array that is returned.
        self.rows = np.empty((len(market), self.width + len(ACCOUNT_OBSERVATIONS)), np.float32)
        self.rows[:, : self.width] = statistics.standardise(market_features(market, config.features))
        self.largest_position = 2.0 * max(abs(position) for position in config.positions)
        self.space = Box(
            np.array([-CLIP] * self.width + [-self.largest_position, -CLIP, 0.0], np.float32),
            np.array([CLIP] * self.width + [self.largest_position, CLIP, 1.0], np.float32),
        )

    def observe(self, bar: npt.NDArray[np.int64], accounts: Accounts) -> npt.NDArray[np.float32]:
        """Observations of N accounts at the closes of their bars, [N, D]; bars from `first_bar` on are complete."""
        observation: npt.NDArray[np.float32] = self.rows.take(bar, axis=0)
        fill_in(
            observation,
            self.width,
            self.largest_position,
            self._close.take(bar),
            accounts.units,
            accounts.equity,
            accounts.entry_equity,
            accounts.peak,
        )
        return observation


@compiled
def fill_in(
    observation: npt.NDArray[np.float32],
    width: int,
    largest_position: float,
    close: FloatArray,
    units: FloatArray,
    equity: FloatArray,
    entry_equity: FloatArray,
    peak: FloatArray,
) -> None:
    """The account's entries, after `width` features."""
    for i in range(len(observation)):
        position = units[i] * close[i] / equity[i]
        unrealised = math.log(equity[i] / entry_equity[i])
        observation[i, width] = min(max(position, -largest_position), largest_position)
        observation[i, width + 1] = min(max(unrealised, -CLIP), CLIP)
        observation[i, width + 2] = 1.0 - equity[i] / peak[i]
