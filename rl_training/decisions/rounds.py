"""The work of the process `decide`: one round for a market reads its source and decides on what is new."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog
from django.db import IntegrityError

from rl_training.decisions import arms, deciding
from rl_training.decisions.reading import Reader
from rl_training.models import FollowedMarket

log = structlog.get_logger(__name__)


class Rounds:
    """The rounds of this process; any thread may ask for one, and each market has at most one at a time."""

    def __init__(self, reader: Reader | None = None) -> None:
        self._reader = reader or Reader()
        self._roster = arms.Roster()
        self._busy: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._settling = threading.Lock()

    def settle(self, now: datetime) -> bool:
        """Fit the arms to the policies if a policy or what is live for the first time changed; return whether."""
        with self._settling:
            if not self._roster.refresh():
                return False
            try:
                arms.settle(self._roster.wanted, now)
            except Exception as error:
                self._roster = arms.Roster()
                # Another process opened the same arms at the same time.
                if not isinstance(error, IntegrityError):
                    raise
            return True

    def advance(self, pk: int, now: datetime) -> int | None:
        """Read the source of the market with this id and decide on its new bars.

        Returns the number of decisions; None if another thread is doing this.
        """
        with self._locked(pk) as mine:
            if not mine:
                return None
            market: Any = FollowedMarket.objects.filter(pk=pk).first()
            if market is None or not market.arms.filter(ended_at__isnull=True).exists():
                return 0
            self._reader.read(market, now)
            return deciding.decide(market, now)

    @contextmanager
    def _locked(self, pk: int) -> Iterator[bool]:
        """Hold the market's lock if it is free, and yield whether it was."""
        with self._settling:
            lock = self._busy[pk]
        held = lock.acquire(blocking=False)
        try:
            yield held
        finally:
            if held:
                lock.release()
