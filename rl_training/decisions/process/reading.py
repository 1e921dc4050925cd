"""Reading the source of a followed market: stores new bars, and retries failed readings with a growing pause."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from pydantic import ValidationError

from rl_training.core.config_problems import find_problems, format_problems
from rl_training.core.deciding.new_bars import recent, tail_of_exchange, tail_of_file
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.market.exchange_series import SETTLING_SECONDS, Series, SeriesPages
from rl_training.core.market_config import MarketConfig
from rl_training.decisions import bars
from rl_training.models import FollowedMarket

log = structlog.get_logger(__name__)

# After a failure the source is read again after 1, 2, 4 ... seconds.
LONGEST_PAUSE_SECONDS = 300
# A file whose next bar is late is read at least this often, even if its modification time is the same.
LATE_FILE_SECONDS = 10

Connect = Callable[[Series], SeriesPages]


def connect(series: Series) -> SeriesPages:
    """Connect to an exchange. Raises MarketDataError."""
    # Importing ccxt takes over a second and 80 MB, so only a process with a market of an exchange imports it.
    from rl_training.core.market.exchange_pages import ExchangePages

    return ExchangePages(series)


class Reader:
    """Reads the sources of followed markets; keeps the connection to an exchange until it fails."""

    def __init__(self, connect: Connect = connect) -> None:
        self._connect = connect
        self._pages: dict[str, SeriesPages] = {}
        self._lock = threading.Lock()

    def read(self, market: FollowedMarket, now: datetime) -> bars.Taken:
        """Read the source; store new and changed bars and the time of the next reading. Store and log a failure."""
        nothing = bars.Taken([], [])
        try:
            tail = self._tail(market, now)
        except (MarketDataError, ValidationError) as error:
            self._pages.pop(market.identity, None)
            found = format_problems(find_problems(error)) if isinstance(error, ValidationError) else str(error)
            note_failure(market, found, now)
            return nothing
        with transaction.atomic():
            locked = FollowedMarket.objects.select_for_update(no_key=True).get(pk=market.pk)
            taken = bars.take_in(locked, tail, now) if tail is not None else nothing
            _note_success(locked, tail, taken, now)
        if taken.revised:
            log.warning("Bars changed at the source", market=market.label, number=len(taken.revised))
        market.refresh_from_db()
        return taken

    def _tail(self, market: FollowedMarket, now: datetime) -> MarketData | None:
        config = MarketConfig.model_validate(market.config)
        newest = int(market.newest_at.timestamp()) if market.newest_at else None
        if config.source == "file":
            return recent(tail_of_file(config, settings.MARKET_DATA_ROOT, newest, now, market.columns), newest)
        tail = tail_of_exchange(self._of(market, config), newest, now)
        return None if tail is None else recent(tail, newest)

    def _of(self, market: FollowedMarket, config: MarketConfig) -> SeriesPages:
        with self._lock:
            pages = self._pages.get(market.identity)
        if pages is None:
            pages = self._connect(Series(config.exchange, config.symbol, config.timeframe))
            with self._lock:
                self._pages[market.identity] = pages
        return pages


def note_failure(market: FollowedMarket, error: str, now: datetime) -> None:
    """Store and log why a round of the market failed, and when its source is read again."""
    failures = market.failures + 1
    pause = min(2.0 ** min(failures - 1, 20), LONGEST_PAUSE_SECONDS)
    changes: dict[str, Any] = {
        "failures": failures,
        "failing_since": market.failing_since or now,
        "error": error,
        "due_at": now + timedelta(seconds=pause),
    }
    FollowedMarket.objects.filter(pk=market.pk).update(**changes)
    market.refresh_from_db()
    log.warning("Market cannot be read", market=market.label, failures=failures, seconds=pause, error=error)


def _note_success(market: FollowedMarket, tail: MarketData | None, taken: bars.Taken, now: datetime) -> None:
    first_reading = market.newest_at is None
    market.read_at, market.failures, market.failing_since, market.error = now, 0, None, ""
    if tail is not None and not market.spacing:
        market.spacing = tail.spacing
    if taken.new:
        market.newest_at = taken.new[-1].opened_at
        market.grew_at = market.grew_at if first_reading else now
    if taken.revised:
        market.revised_at = now
    market.due_at = _due_at(market, now)
    market.save()


def _due_at(market: FollowedMarket, now: datetime) -> datetime:
    """Return when the source is read next: when the next bar is expected, or soon if that bar is late."""
    is_file = market.config.get("source") == "file"
    late = timedelta(seconds=min(max(1.0, market.spacing / 20), LATE_FILE_SECONDS))
    if market.newest_at is None or not market.spacing:
        return now + late
    settling = timedelta(seconds=0 if is_file else SETTLING_SECONDS)
    return max(market.newest_at + 2 * market.bar_length + settling, now + late)
