"""`/healthz` and `/readyz` for monitors and load balancers.

Both answer without a login, reveal no secrets, and answer within seconds even if the database or Redis never answers.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Generic, TypeVar

import django.db
import redis
import structlog
from django.db import connection
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from rl_training.models import TrainingEvent, TrainingRun
from rl_training.presence import heartbeats
from rl_training.presence.heartbeats import SILENT_AFTER_SECONDS, Kind

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Longer than the timeout of a Redis heartbeat, shorter than the usual timeout of monitors.
ANSWER_WITHIN_SECONDS = 3.0
# The processes that are not needed to schedule, train and show runs.
APART = {"alerts", "decide"}


class Inquiry(Generic[T]):
    """A query to a server that may never answer.

    A thread makes the query and is abandoned if it takes too long. While a query is pending, further calls wait for the
    same query, so that there is one thread and one connection however often the page is requested.
    """

    def __init__(self, server: str, query: Callable[[], T]) -> None:
        self._server = server
        self._query = query
        self._lock = threading.Lock()
        self._pending: Future[T | None] | None = None

    def begin(self) -> "Future[T | None]":
        """Return the pending query, or start a query. The result is None if the query fails."""
        with self._lock:
            if self._pending is None or self._pending.done():
                self._pending = Future()
                threading.Thread(target=self._run, args=(self._pending,), name=self._server, daemon=True).start()
            return self._pending

    def _run(self, pending: "Future[T | None]") -> None:
        result = None
        try:
            result = self._query()
        except (django.db.Error, redis.RedisError, OSError) as error:
            log.warning("Not ready", what=self._server, error=str(error))
        finally:
            pending.set_result(result)


def backlog() -> dict[str, Any]:
    """Return the age of the oldest queued run, and the number and age of events that are not on their stream yet."""
    now = timezone.now()
    try:
        queued = (
            TrainingRun.objects.active().filter(status=TrainingRun.Status.QUEUED).aggregate(oldest=Min("queued_at"))
        )
        unpublished = TrainingEvent.objects.unpublished(before=now).order_by()
        events = unpublished.aggregate(events=Count("id"), oldest=Min("timestamp"))
    finally:
        connection.close()
    return {
        "oldest_queued_seconds": seconds_since(queued["oldest"], now),
        "outbox_lag": {"events": events["events"], "oldest_seconds": seconds_since(events["oldest"], now)},
    }


def last_heartbeats() -> dict[Kind, float | None]:
    """Return the seconds since the newest heartbeat of each kind of process, None without one."""
    return {kind: min(heartbeats.ages(kind).values(), default=None) for kind in SILENT_AFTER_SECONDS}


def seconds_since(timestamp: datetime | None, now: datetime) -> float | None:
    """Return the seconds since `timestamp` in whole milliseconds, 0.0 for a timestamp in the future."""
    return None if timestamp is None else max(0.0, round((now - timestamp).total_seconds(), 3))


DATABASE = Inquiry("database", backlog)
REDIS = Inquiry("redis", last_heartbeats)


def state() -> dict[str, Any]:
    """Return the content of `/readyz`.

    Backlogs are reported but do not affect readiness: they are work for the workers, not a fault. The processes APART
    do not affect readiness either, because training continues without them.
    """
    deadline = time.monotonic() + ANSWER_WITHIN_SECONDS
    pending, pending_redis = DATABASE.begin(), REDIS.begin()
    waiting, ages = result_of(pending, deadline), result_of(pending_redis, deadline)
    checks: dict[str, dict[str, Any]] = {
        "database": {"state": "away" if waiting is None else "ok"},
        "redis": {"state": "away" if ages is None else "ok"},
        **{kind: process_state(kind, ages) for kind in SILENT_AFTER_SECONDS},
    }
    ready = all(check["state"] == "ok" for name, check in checks.items() if name not in APART)
    return {"ready": ready, **checks, **(waiting or {"oldest_queued_seconds": None, "outbox_lag": None})}


def result_of(pending: "Future[T | None]", deadline: float) -> T | None:
    """Return the result of a query, None if it fails or has no result by the deadline (monotonic clock)."""
    try:
        return pending.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        return None


def process_state(kind: Kind, ages: dict[Kind, float | None] | None) -> dict[str, Any]:
    """Return the state of a kind of process from the ages of the newest heartbeats, None if Redis is down.

    The state is `unknown` if Redis is down, since no heartbeat could be read, and `silent` if the newest heartbeat is
    too old.
    """
    if ages is None:
        return {"state": "unknown", "seconds_ago": None}
    age = ages[kind]
    alive = age is not None and age <= SILENT_AFTER_SECONDS[kind]
    return {"state": "ok" if alive else "silent", "seconds_ago": None if age is None else round(age, 3)}


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as the web process runs, whatever other parts are down."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if runs can be scheduled, trained and shown, else 503; the content names the part that is missing."""
    found = state()
    return JsonResponse(found, status=200 if found["ready"] else 503)


# Names, because the metrics of requests would otherwise name the functions by their module.
urlpatterns = [path("healthz", healthz, name="healthz"), path("readyz", readyz, name="readyz")]
