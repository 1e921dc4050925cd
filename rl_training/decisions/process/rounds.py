"""The work of the process `decide`: one round for a market reads its source and decides on the new bars."""

import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog
from django.db import IntegrityError

from rl_training.decisions import arms, deciding
from rl_training.decisions.comparing import advancing, requesting, watching
from rl_training.decisions.process.reading import Reader, note_failure
from rl_training.models import FollowedMarket

log = structlog.get_logger(__name__)

# An arm that could not decide, for example because a file cannot be read, tries again after this time.
RETRY_SECONDS = 10.0


class Rounds:
    """The rounds of this process. Any thread may start a round; each market has at most one round at a time."""

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._roster = arms.Roster()
        self._pauses = watching.Pauses()
        self._busy: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._settling = threading.Lock()
        # When the unfinished round of a market is tried again, by the monotonic clock; the key is the market's id.
        self._retry_at: dict[int, float] = {}

    def settle(self, now: datetime) -> bool:
        """Open and end arms as the policies require. Return False if nothing has changed that the arms depend on."""
        with self._settling:
            if not self._roster.refresh():
                return False
            try:
                arms.settle(self._roster.wanted, now)
                requesting.end_without_arms(now)
            except Exception as error:
                self._roster = arms.Roster()
                # Another process opened the same arms at the same time.
                if not isinstance(error, IntegrityError):
                    raise
            self._retry_at |= dict.fromkeys(FollowedMarket.objects.values_list("pk", flat=True), 0.0)
            return True

    def is_unfinished(self, pk: int) -> bool:
        """Return whether the market needs a round although its source has nothing new."""
        return time.monotonic() >= self._retry_at.get(pk, math.inf)

    def advance(self, pk: int, now: datetime) -> int | None:
        """Read the source of the market with this id and decide on its new bars.

        Returns the number of decisions; None if another thread is in a round of this market.
        """
        with self._locked(pk) as mine:
            if not mine:
                return None
            market: Any = FollowedMarket.objects.filter(pk=pk).first()
            if market is None or not market.arms.filter(ended_at__isnull=True).exists():
                self._retry_at.pop(pk, None)
                return 0
            # A round that ends with an error is repeated at once. If only an arm could not decide, it waits
            # RETRY_SECONDS.
            self._retry_at[pk] = 0.0
            taken = self._reader.read(market, now)
            made = deciding.decide(market, now)
            advancing.advance(market, now)
            watching.watch(market)
            if not taken.new:
                watching.watch_age(market, now, self._pauses)
            if market.arms.filter(ended_at__isnull=True).exclude(error="").exists():
                self._retry_at[pk] = time.monotonic() + RETRY_SECONDS
            else:
                self._retry_at.pop(pk, None)
            return made

    def postpone(self, pk: int, error: Exception, now: datetime) -> None:
        """Show the error at the market, and try its round again after a growing pause. Raises database errors."""
        self._retry_at.pop(pk, None)
        for market in FollowedMarket.objects.filter(pk=pk):
            note_failure(market, f"an unforeseen error, which the log describes: {type(error).__name__}: {error}", now)

    @contextmanager
    def _locked(self, pk: int) -> Iterator[bool]:
        """Hold the market's lock if it is free, and yield whether it is held."""
        with self._settling:
            lock = self._busy[pk]
        held = lock.acquire(blocking=False)
        try:
            yield held
        finally:
            if held:
                lock.release()
