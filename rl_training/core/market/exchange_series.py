"""The identity of a series of exchange bars, the interface to its pages, and the error of an unavailable exchange."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.market.file_access import EXCHANGE_CACHE

# A bar is used only this long after its end, because clocks differ and exchanges record the last trades late.
SETTLING_SECONDS = 60
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Series:
    """The bars of one symbol and timeframe on one exchange, with the names that ccxt uses."""

    exchange: str
    symbol: str
    timeframe: str

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.timeframe}"

    @property
    def spacing(self) -> int:
        """The length of a bar in seconds."""
        return int(self.timeframe[:-1]) * SECONDS[self.timeframe[-1]]

    def cache_file(self, root: Path) -> Path:
        """Return the file of the cached bars below MARKET_DATA_ROOT."""
        # Dots are encoded too, so that no symbol, not even "..", leads to another folder.
        folder = quote(self.symbol, safe="").replace(".", "%2E")
        return root / EXCHANGE_CACHE / self.exchange / folder / f"{self.timeframe}.parquet"


class ExchangeUnavailable(MarketDataError):
    """The exchange does not answer at present. Cached bars may be used instead."""


class SeriesPages(Protocol):
    """Fetches the bars of a series page by page; see ExchangePages."""

    series: Series
    limit: int

    def page(self, since: int) -> MarketData | None:
        """Return up to `limit` bars that open at `since`, in seconds since 1970, or later; None if there are none."""
        ...
