"""Bars from a crypto exchange: fetched once, kept, and only extended afterwards."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from numpy.typing import NDArray

from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.exchange_cache import ExchangeCache
from rl_training.core.market.exchange_series import ExchangeUnavailable, Series
from rl_training.core.market_config import MarketConfig

if TYPE_CHECKING:
    from rl_training.core.market.exchange_pages import ExchangePages

# A bar counts as ended this much after its end: clocks differ, and exchanges book the last trades late.
SETTLING_SECONDS = 60
# Pages without bars after which an exchange is taken to have no earlier ones: a longer standstill is not looked across.
EMPTY_PAGES = 3
# So many new bars are written before the next are fetched: a long fetch that is broken off was not for nothing.
BARS_PER_WRITE = 50_000

logger = structlog.get_logger(__name__)


def load_exchange(
    config: MarketConfig,
    root: Path,
    *,
    until: datetime | None = None,
    connect: Callable[[str], Any] | None = None,
    on_page: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> MarketData:
    """The latest `config.bars` bars that had ended a minute before `until`, by default now; dated by their opening.

    Kept under `root`. Fetched are only bars before or after those kept; where a page overlaps them, it must agree. An
    exchange that does not answer is no error while enough bars are kept: they are used, and the log says how old they
    are. Otherwise the same `until` gives the same bars, now and later. `connect` makes ccxt's client; `on_page` is
    called after each answer.

    Raises MarketDataError naming exchange, symbol, timeframe and rule.
    """
    series = Series(config.exchange, config.symbol, config.timeframe)
    asked_at = now()
    end = min(asked_at, until.timestamp()) if until else asked_at
    newest = int(end) - SETTLING_SECONDS - series.spacing
    cache = ExchangeCache(series, root)
    with cache.locked():
        bars = _KeptBars(cache)
        if bars and bars.last + series.spacing > newest and bars.count_until(newest) >= config.bars:
            return bars.latest(newest, config.bars)
        try:
            # Not imported where the kept bars are enough: ccxt takes over a second and 80 MB.
            from rl_training.core.market import exchange_pages

            pages = exchange_pages.ExchangePages(series, connect or exchange_pages.connect, sleep)
            _extend(bars, pages, newest, config.bars, on_page)
        except ExchangeUnavailable as error:
            if bars.count_until(newest) < config.bars:
                raise
            age = timedelta(seconds=int(asked_at) - bars.last - series.spacing)
            logger.warning("Using the kept bars as they are", series=str(series), age=str(age), reason=error.rule)
        finally:
            bars.write()
        return bars.latest(newest, config.bars)


def _extend(bars: "_KeptBars", pages: "ExchangePages", newest: int, count: int, on_page: Callable[[], None]) -> None:
    """Fetch the bars after those kept, up to the one that opens at `newest`; then earlier ones, up to `count`."""
    stride = _stride(pages)
    since = bars.last if bars else newest - newest % pages.series.spacing - stride
    if since + pages.series.spacing <= newest:
        answers = 0
        for page in _walk(pages, since, newest, on_page):
            # The last of those kept is answered again, or what lies between is not known.
            if bars and not answers:
                bars.check_joined(page)
            bars.add(page, newest)
            answers += 1
        if not answers:
            raise ExchangeUnavailable(f"the exchange answers no bars from {_date(since)} on", file=str(pages.series))
    if not bars:
        return
    empty = 0
    while empty < EMPTY_PAGES and bars.count_until(newest) < count:
        since = max(bars.first - stride * (empty + 1), 0)
        # One that answers less than a page is asked on, until its bars join those kept.
        added = sum(bars.add(page, newest) for page in reversed(list(_walk(pages, since, bars.first, on_page))))
        empty = 0 if added else empty + 1


def _walk(pages: "ExchangePages", since: int, to: int, on_page: Callable[[], None]) -> Iterator[MarketData]:
    """Pages from `since` on, each beginning with the last bar of the one before, until one reaches `to`."""
    spacing = pages.series.spacing
    while since + spacing <= to:
        page = pages.page(since)
        on_page()
        if page is not None:
            yield page
        reached = since if page is None else int(_seconds(page)[-1])
        since = reached if reached > since else since + _stride(pages)


def _stride(pages: "ExchangePages") -> int:
    # Of a page, one bar overlaps the next.
    return max(pages.limit - 1, 1) * pages.series.spacing


class _KeptBars:
    """The bars of the cache, and new ones before and after them."""

    def __init__(self, cache: ExchangeCache) -> None:
        self._cache = cache
        kept = cache.read()
        self._parts = [] if kept is None else [kept]
        self._unwritten = 0

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def first(self) -> int:
        return int(_seconds(self._parts[0])[0])

    @property
    def last(self) -> int:
        return int(_seconds(self._parts[-1])[-1])

    def count_until(self, newest: int) -> int:
        """Number of bars that open at `newest` or earlier."""
        return sum(int(np.searchsorted(_seconds(part), newest, side="right")) for part in self._parts)

    def latest(self, newest: int, count: int) -> MarketData:
        """The last `count` bars that open at `newest` or earlier. Raises MarketDataError if there are fewer."""
        available = self.count_until(newest)
        if available < count:
            most = f"; set bars to at most {available}" if available else ""
            end = _date(newest + self._cache.series.spacing)
            raise self._error(f"{count} bars that ended by {end} are needed, the exchange has {available}{most}")
        return self._joined()[available - count : available]

    def add(self, page: MarketData, newest: int) -> int:
        """Take over the bars of a page before and after those kept, up to `newest`; returns how many.

        Raises MarketDataError where the page and the bars kept differ in between.
        """
        ended = int(np.searchsorted(_seconds(page), newest, side="right"))
        if not ended:
            return 0
        page = page[:ended]
        if self:
            for part in self._parts:
                self._check_agreement(part, page)
            before, after = np.searchsorted(_seconds(page), (self.first, self.last + 1)).tolist()
        else:
            before, after = 0, 0
        if before:
            self._parts.insert(0, page[:before])
        if after < ended:
            self._parts.append(page[after:])
        added = int(before + ended - after)
        self._unwritten += added
        if self._unwritten >= BARS_PER_WRITE:
            self.write()
        return added

    def check_joined(self, page: MarketData) -> None:
        """Raise MarketDataError where the page, asked for from the last bar on, begins after it."""
        first = int(_seconds(page)[0])
        if first > self.last:
            raise self._error(
                f"the exchange answers no bars before {_date(first)}, and those kept end at {_date(self.last)}: what "
                f"lies between is not to be had; remove {self._cache.path} to go on with what it has"
            )

    def write(self) -> None:
        if self._unwritten:
            self._cache.write(self._joined())
            self._unwritten = 0

    def _joined(self) -> MarketData:
        if len(self._parts) > 1:
            columns = (np.concatenate([getattr(part, name) for part in self._parts]) for name in COLUMNS)
            self._parts = [MarketData(*columns)]
        return self._parts[0]

    def _check_agreement(self, kept: MarketData, page: MarketData) -> None:
        first = max(_seconds(kept)[0], _seconds(page)[0])
        last = min(_seconds(kept)[-1], _seconds(page)[-1])
        if first > last:
            return
        ours, theirs = (
            bars[slice(*np.searchsorted(_seconds(bars), (first, last + 1)).tolist())] for bars in (kept, page)
        )
        advice = f"it has changed its past; remove {self._cache.path} to fetch all bars anew"
        if not np.array_equal(ours.timestamp, theirs.timestamp):
            other = np.setxor1d(ours.timestamp, theirs.timestamp)[0]
            answers = "no longer answers" if other in ours.timestamp else "answers, unlike before,"
            raise self._error(f"the exchange {answers} a bar of {other}: {advice}")
        for name in COLUMNS[1:]:
            before, now = getattr(ours, name), getattr(theirs, name)
            if not np.array_equal(before, now):
                bar = int((before != now).argmax())
                what = f"{name} {now[bar]} of {ours.timestamp[bar]}, where it answered {before[bar]} before"
                raise self._error(f"the exchange answers {what}: {advice}")

    def _error(self, rule: str) -> MarketDataError:
        return MarketDataError(rule, file=str(self._cache.series))


def _seconds(bars: MarketData) -> NDArray[np.int64]:
    return bars.timestamp.view(np.int64)


def _date(seconds: int) -> str:
    return str(np.datetime64(seconds, "s"))
