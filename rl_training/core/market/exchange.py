"""Bars from a crypto exchange. They are fetched once and cached; later calls only extend the cache."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.exchange_cache import ExchangeCache
from rl_training.core.market.exchange_series import SETTLING_SECONDS, ExchangeUnavailable, Series, SeriesPages
from rl_training.core.market_config import MarketConfig
from rl_training.core.words import count_of

# After this many consecutive pages without bars, the exchange is assumed to have no earlier bars.
EMPTY_PAGES = 3
# New bars are written whenever this many have been fetched, so that an interrupted fetch keeps most of its work.
BARS_PER_WRITE = 50_000

logger = structlog.get_logger(__name__)


def load_exchange(
    config: MarketConfig,
    root: Path,
    *,
    until: datetime | None = None,
    connect: Callable[[str], Any] | None = None,
    on_page: Callable[[], None] = lambda: None,
    on_bars: Callable[[int], Any] = lambda kept: None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> MarketData:
    """Return the latest `config.bars` bars that ended at least a minute before `until`, by default now.

    The bars are cached under `root`, and only earlier or later bars are fetched. A page that overlaps the cached bars
    must agree with them. If the exchange does not answer and the cache has enough bars, these are used, and their age
    is logged. Otherwise the same `until` always gives the same bars. `connect` makes the client of ccxt; `on_page` is
    called after each answer, and `on_bars` with the number of bars, at most `config.bars`, that are known then.

    Raises MarketDataError that names exchange, symbol, timeframe and rule.
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
            # The import of ccxt takes over a second and 80 MB, so it is skipped if the cache has enough bars.
            from rl_training.core.market import exchange_pages

            pages = exchange_pages.ExchangePages(series, connect or exchange_pages.connect, sleep)

            def count_bars() -> None:
                on_page()
                on_bars(min(bars.count_until(newest), config.bars))

            _extend(bars, pages, newest, config.bars, count_bars)
        except ExchangeUnavailable as error:
            if bars.count_until(newest) < config.bars:
                raise
            age = timedelta(seconds=int(asked_at) - bars.last - series.spacing)
            logger.warning("Using the kept bars as they are", series=str(series), age=str(age), reason=error.rule)
        finally:
            bars.write()
        return bars.latest(newest, config.bars)


def _extend(bars: "_KeptBars", pages: SeriesPages, newest: int, count: int, on_page: Callable[[], None]) -> None:
    """Fetch the bars after the cached ones, up to the bar that opens at `newest`; then earlier ones, up to `count`."""
    stride = _stride(pages)
    since = bars.last if bars else newest - newest % pages.series.spacing - stride
    if since + pages.series.spacing <= newest:
        answers = 0
        for page in _walk(pages, since, newest, on_page):
            # The first page must contain the last cached bar again; otherwise bars in between are missing.
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
        # An exchange may answer short pages, so requests go on until its bars reach the cached ones.
        added = sum(bars.add(page, newest) for page in reversed(list(_walk(pages, since, bars.first, on_page))))
        empty = 0 if added else empty + 1


def _walk(pages: SeriesPages, since: int, to: int, on_page: Callable[[], None]) -> Iterator[MarketData]:
    """Yield pages from `since` to `to`. Each page begins with the last bar of the previous page."""
    spacing = pages.series.spacing
    while since + spacing <= to:
        page = pages.page(since)
        on_page()
        if page is not None:
            yield page
        reached = since if page is None else int(_seconds(page)[-1])
        since = reached if reached > since else since + _stride(pages)


def _stride(pages: SeriesPages) -> int:
    # Neighbouring pages overlap by one bar.
    return max(pages.limit - 1, 1) * pages.series.spacing


class _KeptBars:
    """The cached bars, and new bars before and after them."""

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
        """Return the number of bars that open at `newest` or earlier."""
        return sum(int(np.searchsorted(_seconds(part), newest, side="right")) for part in self._parts)

    def latest(self, newest: int, count: int) -> MarketData:
        """Return the last `count` bars that open at `newest` or earlier. Raises MarketDataError if there are fewer."""
        available = self.count_until(newest)
        if available < count:
            most = f"; set bars to at most {available}" if available else ""
            end = _date(newest + self._cache.series.spacing)
            raise self._error(
                f"needs {count_of(count, 'bar')} that ended by {end}, but the exchange has {available}{most}"
            )
        return self._joined()[available - count : available]

    def add(self, page: MarketData, newest: int) -> int:
        """Add the bars of a page that lie before or after the cached ones, up to `newest`. Return their number.

        Raises MarketDataError if the page and the cached bars differ where they overlap.
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
        """Raise MarketDataError if the page, which should begin with the last cached bar, begins after it."""
        first = int(_seconds(page)[0])
        if first > self.last:
            raise self._error(
                f"the exchange answers no bars before {_date(first)}, and the cached bars end at {_date(self.last)}: "
                f"the bars between are not available; remove {self._cache.path} to continue without the cached bars"
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
        advice = f"it has changed old bars; remove {self._cache.path} to fetch all bars anew"
        if not np.array_equal(ours.timestamp, theirs.timestamp):
            other = np.setxor1d(ours.timestamp, theirs.timestamp)[0]
            answers = "no longer answers" if other in ours.timestamp else "answers, unlike before,"
            raise self._error(f"the exchange {answers} a bar of {other}: {advice}")
        for name in COLUMNS[1:]:
            before, now = getattr(ours, name), getattr(theirs, name)
            if not np.array_equal(before, now):
                bar = int((before != now).argmax())
                what = f"{name} {now[bar]} of {ours.timestamp[bar]}, but answered {before[bar]} before"
                raise self._error(f"the exchange answers {what}: {advice}")

    def _error(self, rule: str) -> MarketDataError:
        return MarketDataError(rule, file=str(self._cache.series))


def _seconds(bars: MarketData) -> NDArray[np.int64]:
    return bars.timestamp.view(np.int64)


def _date(seconds: int) -> str:
    return str(np.datetime64(seconds, "s"))
