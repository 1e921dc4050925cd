"""Counts the bars of a market that are newer than those of a run, without loading the market."""

from datetime import datetime
from pathlib import Path
from typing import assert_never

from rl_training.core.market.exchange_series import SETTLING_SECONDS, Series
from rl_training.core.market_config import MarketConfig


def count_new_bars(config: MarketConfig, last: datetime, now: datetime, root: Path) -> int | None:
    """Return how many bars closed after the bar that opened at `last`; None for a file with too many to count.

    - `sp500`, `nasdaq` and `planted` never have new bars.
    - For an exchange, no request is made: bars are counted by their length, as if none were missing. A bar counts as
      soon as a run may use it, a minute after its end.
    - For a file, the rows after `last` are counted; see `count_rows_after`.

    Raises MarketDataError for a file that cannot be read.
    """
    match config.source:
        case "sp500" | "nasdaq" | "planted":
            return 0
        case "exchange":
            spacing = Series(config.exchange, config.symbol, config.timeframe).spacing
            return max(0, int(((now - last).total_seconds() - SETTLING_SECONDS) // spacing) - 1)
        case "file":
            # pyarrow takes 40 MB, which only a beat with such a policy needs.
            from rl_training.core.market.files.ends import count_rows_after

            return count_rows_after(int(last.timestamp()), config, root)
        case _:
            assert_never(config.source)
