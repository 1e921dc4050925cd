"""The bars of a followed market as they came: stores new and changed bars, and returns the bars known at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from rl_training.core.deciding.new_bars import TAIL
from rl_training.core.market.bars import COLUMNS, MarketData
from rl_training.models import FollowedMarket, MarketBar

VALUES = COLUMNS[1:]


@dataclass(frozen=True)
class Taken:
    """The result of reading the source: new bars in the order of time, and rows for known bars that changed."""

    new: list[MarketBar]
    revised: list[MarketBar]


def take_in(market: FollowedMarket, tail: MarketData, now: datetime) -> Taken:
    """Store the bars of `tail` that are new or differ from the stored bars. The caller holds the market row's lock.

    `tail` holds all bars that the source has since the first bar of `tail`. Changed, late and removed bars become
    further revisions. Revisions are stored before the new bars, so that a decision on a new bar knows them.
    """
    rows = _rows_from(market, _time(tail, 0))
    known = latest(rows)
    numbers = {row.opened_at: row.revision for row in rows}
    new, revised = [], []
    for number in range(len(tail)):
        opened_at = _time(tail, number)
        values = _values(market, tail, number)
        bar = known.get(opened_at)
        if bar is None and (market.newest_at is None or opened_at > market.newest_at):
            new.append(MarketBar(market=market, opened_at=opened_at, seen_at=now, **values))
        elif bar is None or any(getattr(bar, name) != value for name, value in values.items()):
            revision = numbers.get(opened_at, 0) + 1
            revised.append(MarketBar(market=market, opened_at=opened_at, revision=revision, seen_at=now, **values))
    there = {_time(tail, number) for number in range(len(tail))}
    for opened_at, bar in known.items():
        if opened_at not in there:
            values = {name: getattr(bar, name) for name in (*VALUES, "own")}
            revised.append(
                MarketBar(
                    market=market,
                    opened_at=opened_at,
                    revision=numbers[opened_at] + 1,
                    seen_at=now,
                    removed=True,
                    **values,
                )
            )
    MarketBar.objects.bulk_create(revised)
    MarketBar.objects.bulk_create(new)
    return Taken(new, revised)


def latest(rows: Sequence[MarketBar], until: int | None = None) -> dict[datetime, MarketBar]:
    """Return the bars by their time, as they were known when the row with the id `until` was stored, by default now."""
    found: dict[datetime, MarketBar] = {}
    for row in rows:
        if until is None or row.pk <= until:
            found[row.opened_at] = row
    return {opened_at: row for opened_at, row in found.items() if not row.removed}


def rows_up_to(market: int, last: datetime, decided: int = 1) -> list[MarketBar]:
    """Return the rows of the bars that `decided` decisions up to the bar that opened at `last` see, in time order.

    Each of them sees TAIL bars, or all where there are fewer, however many of the bars the source has no longer.
    """
    newest = MarketBar.objects.filter(market=market, opened_at__lte=last).order_by("-opened_at", "-revision")
    came = newest.filter(revision=0).values_list("opened_at", flat=True)
    removed = 0
    while True:
        first = came[TAIL + decided - 1 + removed :][:1].first()
        rows = list(newest.filter(opened_at__gte=first) if first is not None else newest)
        more = sum(row.removed for row in rows)
        if first is None or more == removed:
            return rows[::-1]
        removed = more


def as_market(bars: Sequence[MarketBar], own: Sequence[str] = ()) -> MarketData:
    """Return the bars, at least one and in time order, as a market. `own` names the further columns to include."""
    seconds = np.array([int(bar.opened_at.timestamp()) for bar in bars])
    # A missing volume, null in the row, becomes NaN.
    columns = (np.array([getattr(bar, name) for bar in bars], np.float64) for name in VALUES)
    market = MarketData(seconds.astype("datetime64[s]"), *columns)
    if not own:
        return market
    values = np.stack([np.frombuffer(bytes(bar.own or b""), "<f8") for bar in bars], axis=1)
    return market.with_own(dict(zip(own, values, strict=True)))


def closes(market: FollowedMarket, opened_at: datetime) -> datetime:
    """Return when the bar that opened at this time closed."""
    return opened_at + market.bar_length


def missing_between(market: FollowedMarket, earlier: datetime, later: datetime) -> int:
    """Return how many bars fit between two bars."""
    if not market.spacing:
        return 0
    return max(0, round((later - earlier) / timedelta(seconds=market.spacing)) - 1)


def _values(market: FollowedMarket, tail: MarketData, number: int) -> dict[str, Any]:
    """Return the values of a bar as a row stores them. A source without volumes has NaN, which no database compares."""
    values: dict[str, Any] = {name: float(getattr(tail, name)[number]) for name in VALUES}
    if not tail.has_volume:
        values["volume"] = None
    return values | {"own": _own(market, tail, number)}


def _own(market: FollowedMarket, tail: MarketData, number: int) -> bytes | None:
    """Return the values of the market's further columns at a bar, as a row stores them."""
    if not market.columns:
        return None
    return np.array([tail.own[name][number] for name in market.columns], "<f8").tobytes()


def _rows_from(market: FollowedMarket, first: datetime) -> list[MarketBar]:
    return list(market.bars.filter(opened_at__gte=first).order_by("opened_at", "revision"))


def _time(market: MarketData, number: int) -> datetime:
    return datetime.fromtimestamp(int(market.timestamp[number].astype(np.int64)), UTC)
