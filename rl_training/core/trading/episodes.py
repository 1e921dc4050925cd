"""N simultaneous market episodes; both environments are built on them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.trading.accounting import ACCOUNT_FIELDS, Accounts, BarOutcome, open_accounts, reopen, trade_bar
from rl_training.core.trading.features import FeatureStatistics, longest_window
from rl_training.core.trading.observation import Observer
from rl_training.core.words import count_of

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Episodes:
    """`count` independent episodes on one market; see `TradingEnv` for the rules."""

    def __init__(
        self, market: MarketData, config: EnvironmentConfig, count: int, statistics: FeatureStatistics | None
    ) -> None:
        window, length = longest_window(config.features), config.episode_length
        needed = window + length + 1
        if len(market) < needed:
            raise MarketDataError(
                f"trading environment: {count_of(len(market), 'bar')}, but at least {needed} are needed: "
                f"{window} before the first decision, {length} decisions and the bar after the last"
            )
        self.config = config
        self.observer = Observer(market, config, statistics or FeatureStatistics.fit(market, config))
        self.first_start = window
        self.last_start = len(market) - 1 - length
        self.bar: IntArray = np.full(count, self.first_start)
        self.last_bar: IntArray = self.bar + length
        self.accounts = open_accounts(count)
        self._open, self._close = market.open, market.close
        self._positions = np.array(config.positions)

    def random_starts(self, generator: np.random.Generator, count: int) -> IntArray:
        """Draw first decision bars, [count], uniformly from all bars from which a whole episode fits."""
        return generator.integers(self.first_start, self.last_start, size=count, endpoint=True)

    def checked_starts(self, start: Any, count: int) -> IntArray:
        """Return `start`, one bar for all episodes or one for each, as [count]. Raises ValueError for unfit bars."""
        starts = np.asarray(start)
        fits = starts.dtype.kind in "iu" and starts.shape in ((), (count,))
        if not fits or starts.min() < self.first_start or starts.max() > self.last_start:
            raise ValueError(
                f"start: got {start}, must be one bar, or one for each episode, from {self.first_start} to "
                f"{self.last_start}"
            )
        return np.full(count, starts, np.int64)

    def begin(self, which: BoolArray, starts: IntArray) -> None:
        """Begin the episodes that are True in `which`, [N]; `starts` has the first decision bar of each of these."""
        self.bar[which] = starts
        self.last_bar[which] = starts + self.config.episode_length
        self.accounts = reopen(self.accounts, which)

    def step(self, actions: IntArray) -> tuple[BarOutcome, BoolArray, BoolArray]:
        """Trade one bar in each episode. Return the outcome, `terminated` and `truncated`, [N] each."""
        self.bar += 1
        self.accounts, outcome = trade_bar(
            self.accounts,
            self._positions.take(actions),
            self._open.take(self.bar),
            self._close.take(self.bar),
            self.config,
        )
        return outcome, outcome.ruined, (self.bar >= self.last_bar) & ~outcome.ruined

    def observe(self) -> npt.NDArray[np.float32]:
        """Return the observations at the present bars, [N, D]."""
        return self.observer.observe(self.bar, self.accounts)

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of everything that changes from step to step."""
        state = {name: row.copy() for name, row in zip(ACCOUNT_FIELDS, self.accounts.rows, strict=True)}
        return {"bar": self.bar.copy(), "last_bar": self.last_bar.copy(), **state}

    def load_state_dict(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore a state from `state_dict`. Raises ValueError if it belongs to other episodes or another market."""
        for name, value in self.state_dict().items():
            if name not in state or np.shape(state[name]) != value.shape:
                found = np.shape(state[name]) if name in state else "nothing"
                raise ValueError(f"environment state: {name} must have shape {value.shape}, got {found}")
        if np.max(state["last_bar"]) >= len(self._open) or np.any(state["bar"] > state["last_bar"]):
            raise ValueError(f"environment state: episodes go beyond the market's {len(self._open)} bars")
        self.bar = np.array(state["bar"], np.int64)
        self.last_bar = np.array(state["last_bar"], np.int64)
        self.accounts = Accounts(np.array([state[name] for name in ACCOUNT_FIELDS], np.float64))
