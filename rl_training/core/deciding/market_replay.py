"""Past bars played again as if they closed now, faster than they did, to try decisions without internet."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from rl_training.core.market.bars import COLUMNS, MarketData


class Line(NamedTuple):
    """A line of a market file, and the time at which its bar closes."""

    closes_at: datetime
    text: str


HEADER = ",".join(COLUMNS) + "\n"


def bar_seconds(market: MarketData, speed: float) -> int:
    """Return the length of a replayed bar: that of the market's bars, so many times shorter, a second at least."""
    return max(1, round(market.spacing / speed))


def replayed(market: MarketData, seconds: int, history: int, now: datetime) -> Iterator[Line]:
    """Yield the bars as lines of a CSV file, `seconds` apart; those of the history have closed by `now`.

    The prices and volumes are those of the market; holes between its bars are closed.
    """
    first = now.replace(microsecond=0) - timedelta(seconds=seconds * history)
    for number in range(len(market)):
        opened_at = first + timedelta(seconds=seconds * number)
        values = ",".join(repr(float(getattr(market, name)[number])) for name in COLUMNS[1:])
        stamp = f"{opened_at:%Y-%m-%dT%H:%M:%SZ}"
        yield Line(opened_at + timedelta(seconds=seconds), f"{stamp},{values}\n")
