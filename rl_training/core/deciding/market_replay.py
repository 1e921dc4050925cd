"""Replays past bars as if they closed now, at a higher speed, to try decisions without internet access."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from rl_training.core.market.bars import COLUMNS, MarketData


class Line(NamedTuple):
    """A line of a market file, and the time at which its bar closes."""

    closes_at: datetime
    text: str


def header(market: MarketData) -> str:
    """Return the first line of the file: the names of the columns; names of further columns are in quotes."""
    own = ['"' + name.replace('"', '""') + '"' for name in market.own]
    return ",".join([*COLUMNS, *own]) + "\n"


def bar_seconds(market: MarketData, speed: float) -> int:
    """Return the length of a replayed bar in seconds: that of the market's bars divided by `speed`, at least 1."""
    return max(1, round(market.spacing / speed))


def replayed(market: MarketData, seconds: int, history: int, now: datetime) -> Iterator[Line]:
    """Yield the bars as lines of a CSV file, `seconds` apart; the first `history` bars have closed by `now`.

    Prices, volumes and further columns are unchanged; gaps between the market's bars are closed.
    """
    columns = [*(getattr(market, name) for name in COLUMNS[1:]), *market.own.values()]
    first = now.replace(microsecond=0) - timedelta(seconds=seconds * history)
    for number in range(len(market)):
        opened_at = first + timedelta(seconds=seconds * number)
        values = ",".join(repr(float(column[number])) for column in columns)
        stamp = f"{opened_at:%Y-%m-%dT%H:%M:%SZ}"
        yield Line(opened_at + timedelta(seconds=seconds), f"{stamp},{values}\n")
