"""Checks that no fold of a walk-forward knows bars of its future. Needs no torch."""

import numpy as np

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import COLUMNS, MarketData
from rl_training.core.run.walk_forward.folds import Fold
from rl_training.core.trading.features import FeatureStatistics, longest_window
from rl_training.core.trading.observation import Observer, observation_names

# Decisions of each fold whose observation is checked, the first and the last among them.
CHECKED_DECISIONS = 4


class LeakError(RuntimeError):
    """A fold knows bars of its future, so its walk-forward is not valid. The message says what the fold knows."""


def check_fold(
    market: MarketData,
    environment: EnvironmentConfig,
    fold: Fold,
    statistics: FeatureStatistics,
    trained_until: np.datetime64,
) -> None:
    """Raise LeakError if a fold was trained on bars after its training bars, or observes bars after a decision.

    statistics     the fold standardises its features by them
    trained_until  the last bar that its policy was trained on

    The features' statistics are fitted, and the observations of some of the fold's decisions are made, a second time on
    a market whose later bars are scrambled. Results that depend only on earlier bars stay the same to the bit. For
    statistics, the later bars come after the training bars; for an observation, after the decision.
    """
    last = market.timestamp[fold.train_end - 1]
    if trained_until > last or fold.gap <= longest_window(environment.features):
        raise LeakError(
            f"fold {fold.number}: the policy was trained until {trained_until}, {fold.gap} bars before its first "
            f"traded bar; training must end at {last} and {longest_window(environment.features) + 1} bars before"
        )
    if FeatureStatistics.fit(fold.training(scrambled(market, fold.train_end)), environment) != statistics:
        raise LeakError(f"fold {fold.number}: the statistics of the features are not those of its training bars")
    for bar in np.linspace(fold.begin - 1, fold.end - 2, CHECKED_DECISIONS).round().astype(int).tolist():
        _check_observation(market, environment, bar, statistics)


def scrambled(market: MarketData, first: int) -> MarketData:
    """Return the market with other prices, volumes and further columns from bar `first` on, otherwise unchanged."""
    count, generator = len(market) - first, np.random.default_rng(first)
    changes = {name: np.array(getattr(market, name)) for name in COLUMNS[1:]}
    prices = np.sort(market.close[first - 1] * np.exp(generator.normal(0, 0.05, (count, 4))), axis=1)
    swapped = generator.random(count) < 0.5
    changes["low"][first:], changes["high"][first:] = prices[:, 0], prices[:, 3]
    changes["open"][first:] = np.where(swapped, prices[:, 1], prices[:, 2])
    changes["close"][first:] = np.where(swapped, prices[:, 2], prices[:, 1])
    changes["volume"][first:] = market.volume[first:] * generator.uniform(0.5, 2.0, count) + 1.0
    own = {name: np.array(values) for name, values in market.own.items()}
    for values in own.values():
        values[first:] = 0.5 * values[first:] + generator.normal(0, 1, count)
    return MarketData(market.timestamp, **changes).with_own(own)


def _check_observation(
    market: MarketData, environment: EnvironmentConfig, bar: int, statistics: FeatureStatistics
) -> None:
    """Raise LeakError if the features that are observed at a bar depend on later bars."""
    window = longest_window(environment.features)
    begin, end = max(0, bar - 2 * window), min(len(market), bar + window + 2)
    place, around = bar - begin, market[begin:end]
    seen = Observer(around, environment, statistics)
    for changed in (scrambled(around, place + 1), around[: place + 1]):
        other = Observer(changed, environment, statistics)
        differs = (seen.rows[place, : seen.width] != other.rows[place, : seen.width]).tolist()
        if any(differs):
            name = observation_names(environment)[differs.index(True)]
            raise LeakError(f"{name} at bar {bar}, {market.timestamp[bar]}, depends on later bars")
