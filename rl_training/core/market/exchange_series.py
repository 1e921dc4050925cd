"""Which bars of an exchange are meant, and the error that says it cannot be asked for them."""

from dataclasses import dataclass

from rl_training.core.market.bars import MarketDataError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Series:
    """The bars of one symbol on one exchange, of one length; named as ccxt names them."""

    exchange: str
    symbol: str
    timeframe: str

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.timeframe}"

    @property
    def spacing(self) -> int:
        """Seconds that a bar lasts."""
        return int(self.timeframe[:-1]) * SECONDS[self.timeframe[-1]]


class ExchangeUnavailable(MarketDataError):
    """The exchange does not answer now; what it would answer is not known to be wrong."""
