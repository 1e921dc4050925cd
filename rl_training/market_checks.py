"""Checks of markets for pages and the API, remembered for as long as the settings and the file stay the same."""

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.exchange_series import Series
from rl_training.core.market.file_access import open_under
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore

# Settings whose text is JSON.
AS_JSON = ("columns", "skip_rows")
CHECKS_KEPT = 16
# A chart shows this many evenly spaced bars, besides bars that are suspicious or follow a gap.
BARS_DRAWN = 1_000
MARKS_DRAWN = 100


@dataclass(frozen=True)
class CheckedMarket:
    """The facts about a market that a page shows: the answer, all facts as JSON values, and bars to draw.

    `times` are seconds since 1970; `suspicious` and `after_gap` are positions in `times`. `setting` names the setting
    that does not fit the bars, if known. `instruments`: the file names the instrument of its bars.
    """

    sentence: str
    facts: dict[str, Any]
    times: tuple[int, ...] = ()
    closes: tuple[float, ...] = ()
    suspicious: frozenset[int] = frozenset()
    after_gap: frozenset[int] = frozenset()
    setting: str = ""
    instruments: bool = False

    @property
    def usable(self) -> bool:
        return bool(self.facts["usable"])


def value_of(name: str, text: str) -> Any:
    """Return the value of a setting about how a file is read, from its text."""
    if name not in AS_JSON:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def checked(config: MarketConfig, columns: tuple[str, ...] = ()) -> CheckedMarket:
    """Check a market with the further columns of these names. For an exchange, only the cached bars are read."""
    decisive = {"source", *config.effective_fields}
    settings_of_bars = config.model_dump_json(include=decisive)
    return _checked(settings_of_bars, columns, settings.MARKET_DATA_ROOT, _state_of_file(config))


def columns_of(policy: PolicyStore) -> tuple[str, ...]:
    """Return the names of the further columns of the market's file that the policy observes."""
    return policy.environment.own_columns if isinstance(policy.environment, EnvironmentConfig) else ()


def _state_of_file(config: MarketConfig) -> tuple[int, ...]:
    """Return the size, modification time and inode of the file of the bars, which change when its bars change.

    The bars of an exchange are in the file of the cache. Returns nothing if there is no file.
    """
    root = settings.MARKET_DATA_ROOT
    try:
        match config.source:
            case "file":
                with open_under(root, config.path) as file:
                    state = os.fstat(file.fileno())
            case "exchange":
                state = Series(config.exchange, config.symbol, config.timeframe).cache_file(root).stat()
            case _:
                return ()
    except (MarketDataError, OSError):
        return ()
    return state.st_size, state.st_mtime_ns, state.st_ino


@lru_cache(CHECKS_KEPT)
def _checked(config: str, columns: tuple[str, ...], root: Path, state: tuple[int, ...]) -> CheckedMarket:
    # pyarrow takes 40 MB, so only a process that checks a market imports it.
    import numpy as np

    from rl_training.core.market.checking import check_market

    check = check_market(MarketConfig.model_validate_json(config), root, columns, cached=True)
    if check.market is None:
        return CheckedMarket(check.sentence, check.as_json(), setting=check.setting)
    market = check.market
    seconds = market.timestamp.astype(np.int64)
    found = [time for suspicion in check.reading.suspicions.values() for time in suspicion.times]
    marked = np.searchsorted(market.timestamp, np.array(sorted(set(found))[:MARKS_DRAWN], "datetime64[s]"))
    gaps = np.flatnonzero(np.diff(seconds) > 4 * max(market.spacing, 86_400))[:MARKS_DRAWN] + 1
    evenly = np.linspace(0, len(market) - 1, min(BARS_DRAWN, len(market))).astype(np.int64)
    drawn = np.unique(np.concatenate((evenly, marked, gaps)))
    return CheckedMarket(
        check.sentence,
        check.as_json(),
        tuple(seconds[drawn].tolist()),
        tuple(market.close[drawn].tolist()),
        frozenset(np.searchsorted(drawn, marked).tolist()),
        frozenset(np.searchsorted(drawn, gaps).tolist()),
        check.setting,
        check.reading.instruments,
    )
