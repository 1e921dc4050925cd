"""Addresses for monitors and load balancers: no login, nothing secret, an answer within seconds whatever is down."""

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

# Longer than a sign's timeout, shorter than the patience of those who ask.
ANSWER_WITHIN_SECONDS = 3.0


class Inquiry(Generic[T]):
    """A question to something that may never answer.

    It is asked in a thread, which is left behind when the time is up. While one is out nobody asks again: however often
    the page is fetched, there is one thread and one connection.
    """

    def __init__(self, what: str, ask: Callable[[], T]) -> None:
        self._what = what
        self._ask = ask
        self._lock = threading.Lock()
        self._asked: Future[T | None] | None = None

    def begin(self) -> "Future[T | None]":
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                threading.Thread(target=self._run, args=(self._asked,), name=self._what, daemon=True).start()
            return self._asked

    def _run(self, asked: "Future[T | None]") -> None:
        answer = None
        try:
            answer = self._ask()
        except (django.db.Error, redis.RedisError, OSError) as error:
            log.warning("Not ready", what=self._what, error=str(error))
        finally:
            asked.set_result(answer)


def backlog() -> dict[str, Any]:
    """What waits in the database: the age of the oldest queued run, the events that are not on their stream yet."""
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


def last_signs() -> dict[Kind, float | None]:
    """Seconds since the newest sign of each kind of process; None where there is none."""
    return {kind: min(heartbeats.ages(kind).values(), default=None) for kind in SILENT_AFTER_SECONDS}


def seconds_since(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, round((now - moment).total_seconds(), 3))


DATABASE = Inquiry("database", backlog)
REDIS = Inquiry("redis", last_signs)


def state() -> dict[str, Any]:
    """What `/readyz` says. Backlogs are told but do not count: they are work for the workers, not a fault.

    Nor does the process that looks after alerts: training goes on without it.
    """
    until = time.monotonic() + ANSWER_WITHIN_SECONDS
    asked, asked_redis = DATABASE.begin(), REDIS.begin()
    waiting, signs = answer(asked, until), answer(asked_redis, until)
    checks: dict[str, dict[str, Any]] = {
        "database": {"state": "away" if waiting is None else "ok"},
        "redis": {"state": "away" if signs is None else "ok"},
        **{kind: sign_state(kind, signs) for kind in SILENT_AFTER_SECONDS},
    }
    ready = all(check["state"] == "ok" for what, check in checks.items() if what != "alerts")
    return {"ready": ready, **checks, **(waiting or {"oldest_queued_seconds": None, "outbox_lag": None})}


def answer(asked: "Future[T | None]", until: float) -> T | None:
    try:
        return asked.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        return None


def sign_state(kind: Kind, signs: dict[Kind, float | None] | None) -> dict[str, Any]:
    """Silent and not heard of are two things: without Redis nobody can be heard."""
    if signs is None:
        return {"state": "unknown", "seconds_ago": None}
    age = signs[kind]
    alive = age is not None and age <= SILENT_AFTER_SECONDS[kind]
    return {"state": "ok" if alive else "silent", "seconds_ago": None if age is None else round(age, 3)}


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the web process is up, whatever else is not."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when runs are scheduled, trained and shown; else 503, and which part is missing."""
    found = state()
    return JsonResponse(found, status=200 if found["ready"] else 503)


urlpatterns = [path("healthz", healthz), path("readyz", readyz)]
