"""The loop of the process `decide` (`celery_app worker -Q decisions`), which never imports torch.

The loop checks files several times a second, because nothing announces their growth, and opens and ends arms as the
policies require. Beat announces the due bars of exchanges, and other threads of the process fetch them; the loop also
fetches bars whose announcement was lost. All state is in the database, so any number of such processes may run, and
each may be killed at any time: the next process finds the bars without a decision.
"""

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from rl_training.core.deciding.warm_up import warm_up
from rl_training.decisions.process.rounds import Rounds
from rl_training.models import FollowedMarket
from rl_training.presence import heartbeats

log = structlog.get_logger(__name__)

EVERY_SECONDS = 0.2
# Short enough for a changed policy or deployment to be noticed while a user waits.
SETTLE_EVERY_SECONDS = 1.0
HEARTBEAT_EVERY_SECONDS = 2.0
# If a market is due for longer than this, its announcement was lost, or beat or Redis is down.
ANNOUNCED_WITHIN = timedelta(seconds=10)
EXCHANGES_AT_ONCE = 4

Signature = tuple[int, int] | None


class DecidingLoop(threading.Thread):
    """Reads growing files and decides on their new bars until the process ends."""

    def __init__(self, rounds: Rounds | None = None) -> None:
        super().__init__(name="decide", daemon=True)
        self.rounds = rounds or Rounds()
        self._stopped = threading.Event()
        self._signatures: dict[int, Signature] = {}
        self._settled_at = self._heartbeat_at = 0.0
        self._exchanges = ThreadPoolExecutor(EXCHANGES_AT_ONCE, "exchange")

    def run(self) -> None:
        log.info("Preparing to decide: the first time on a machine, this compiles for some seconds")
        warm_up()
        # Garbage collection would visit all imported objects repeatedly: a third of the time of a round of 1,000
        # policies.
        gc.freeze()
        log.info("Ready to decide")
        while not self._stopped.is_set():
            started = time.monotonic()
            self.once(timezone.now())
            if started - self._heartbeat_at >= HEARTBEAT_EVERY_SECONDS:
                heartbeats.record("decide")
                self._heartbeat_at = started
            self._stopped.wait(max(0.0, EVERY_SECONDS - (time.monotonic() - started)))

    def stop(self) -> None:
        self._stopped.set()
        self._exchanges.shutdown(wait=False, cancel_futures=True)

    def once(self, now: datetime) -> None:
        """Open and end arms as the policies require, and advance each changed market. Database errors are logged."""
        try:
            if time.monotonic() - self._settled_at >= SETTLE_EVERY_SECONDS:
                self.rounds.settle(now)
                self._settled_at = time.monotonic()
            for market in FollowedMarket.objects.all():
                self._look_at(market, now)
        except DatabaseError as error:
            log.error("Decisions wait for the database", error=str(error))
            self._settled_at = 0.0
        finally:
            connection.close()

    def advance(self, pk: int) -> int | None:
        """Advance a market, from any thread; see `Rounds.advance`. Log a database error; the loop tries again."""
        try:
            return self._advance(pk, timezone.now())
        except DatabaseError as error:
            log.error("Decisions wait for the database", error=str(error))
            return None
        finally:
            connection.close()

    def _advance(self, pk: int, now: datetime) -> int | None:
        """Advance a market. An unforeseen error is logged and shown, and ends the market's round, not the process."""
        try:
            return self.rounds.advance(pk, now)
        except (OperationalError, InterfaceError):
            # The database is away: every other market would fail too.
            raise
        except Exception as error:
            log.exception("A round failed", market=pk)
            self.rounds.postpone(pk, error, now)
            return 0

    def _look_at(self, market: FollowedMarket, now: datetime) -> None:
        if market.config.get("source") != "file":
            if market.due_at <= now - ANNOUNCED_WITHIN or self.rounds.is_unfinished(market.pk):
                self._exchanges.submit(self.advance, market.pk)
            return
        signature = signature_of(settings.MARKET_DATA_ROOT, market.config)
        changed = self._signatures.get(market.pk, ()) != signature
        if (changed or market.due_at <= now or self.rounds.is_unfinished(market.pk)) and self._advance(
            market.pk, now
        ) is not None:
            self._signatures[market.pk] = signature


def signature_of(root: Path, config: dict[str, Any]) -> Signature:
    """Return the size and the modification time of a market's file; None if there is no file."""
    try:
        state = os.stat(root / str(config.get("path", "")))
    except (OSError, ValueError):
        return None
    return state.st_size, state.st_mtime_ns


# The one loop of a process; only the process `decide` starts it.
LOOP = DecidingLoop()
