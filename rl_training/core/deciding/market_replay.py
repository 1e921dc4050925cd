"""Past bars played again as if they closed now, faster than they did, to try decisions without internet."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from rl_training.core.market.bars import COLUMNS, MarketData


class Line(NamedTuple):
    """A line of a market file, and the time at which its bar closes."""

    closes_at: datetime
    text: str


def header(market: MarketData) -> str:
    """Return the first line of the file: the names of the columns, in quotes where they are the user's."""
    own = ['"' + name.replace('"', '""') + '"' for name in market.own]
    return ",".join([*COLUMNS, *own]) + "\n"


def bar_seconds(market: MarketData, speed: float) -> int:
    """Return the length of a replayed bar: that of the market's bars, so many times shorter, a second at least."""
    return max(1, round(market.spacing / speed))


def replayed(market: MarketData, seconds: int, history: int, now: datetime) -> Iterator[Line]:
    """Yield the bars as lines of a CSV file, `seconds` apart; those of the history have closed by `now`.

    The prices, volumes and further columns are those of the market; holes between its bars are closed.
    """
    columns = [*(getattr(market, name) for name in COLUMNS[1:]), *market.own.values()]
    first = now.replace(microsecond=0) - timedelta(seconds=seconds * history)
    for number in range(len(market)):
        opened_at = first + timedelta(seconds=seconds * number)
        values = ",".join(repr(float(column[number])) for column in columns)
        stamp = f"{opened_at:%Y-%m-%dT%H:%M:%SZ}"
        yield Line(opened_at + timedelta(seconds=seconds), f"{stamp},{values}\n")
