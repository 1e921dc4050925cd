"""Whether training as a whole is healthy, and what to do where it is not."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.urls import reverse

from dashboard.monitoring import readiness
from dashboard.pages.alert_pages import CHANGE_ALERT, VIEW_ALERT, said_of
from dashboard.templatetags.figures import seconds
from rl_training.alerts.models import Alert
from rl_training.models import PolicyStore

T = TypeVar("T")

# Pages that are asked for together share an answer; a part that is lost shows within this and what it takes to notice.
FRESH_SECONDS = 2.0
# A message lost or a broker that was away is made good within half a minute.
WAITS_TOO_LONG_SECONDS = 300.0
LAGS_TOO_LONG_SECONDS = 60.0
NAMED = 5

LABELS = {"beat": "Beat", "worker": "Workers", "redis": "Redis", "database": "Database", "alerts": "Alerts"}
# Without these no run is trained.
NEEDED = ("database", "redis", "beat", "worker")
LOST = {
    "database": ("The database does not answer.", "Start it, or see DATABASE_URL."),
    "redis": ("Redis does not answer: workers hear of no run, and events wait.", "Start it, or see REDIS_URL."),
    "beat": ("Beat is silent: the schedule starts no run.", "Start it: celery -A celery_app beat"),
    "worker": ("No worker is heard: runs stay queued.", "Start one: celery -A celery_app worker -Q training"),
    "alerts": (
        "Nobody looks after alerts: none opens, and nobody is told.",
        "Its process may have ended; see its log.",
    ),
}


@dataclass(frozen=True)
class Part:
    """A part of the system; `state` is ok, away, silent or unknown."""

    label: str
    state: str
    detail: str


@dataclass(frozen=True)
class Problem:
    """What is wrong, what to do, and where; `asks`: there it is asked whether to do it."""

    text: str
    remedy: str = ""
    url: str = ""
    asks: bool = False
    stops_training: bool = False


class Shared(Generic[T]):
    """An answer that serves all who ask within `FRESH_SECONDS`."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answered: tuple[float, T] | None = None

    def get(self) -> T:
        with self._lock:
            if self._answered is None or time.monotonic() - self._answered[0] > FRESH_SECONDS:
                answer = self._ask()
                self._answered = time.monotonic(), answer
            return self._answered[1]


STATE: Shared[dict[str, Any]] = Shared(lambda: readiness.state())


def parts(state: dict[str, Any]) -> list[Part]:
    """Of `readiness.state`, beat and workers first."""
    return [Part(label, state[name]["state"], detail(state[name])) for name, label in LABELS.items() if name in state]


def detail(check: dict[str, Any]) -> str:
    if check.get("seconds_ago") is not None:
        return f"heard {seconds(check['seconds_ago'])} ago"
    return {"ok": "answers", "away": "does not answer", "silent": "not heard", "unknown": "not known"}[check["state"]]


def problems(state: dict[str, Any], user: Any) -> list[Problem]:
    """What needs somebody's attention, the worst first, as far as `user` may see it."""
    lost = [name for name in LOST if name in state and state[name]["state"] in ("away", "silent")]
    found = [Problem(*LOST[name], stops_training=name in NEEDED) for name in lost]
    return found + waiting(state) + failing() + alerts(user)


def waiting(state: dict[str, Any]) -> list[Problem]:
    found = []
    oldest, lag = state["oldest_queued_seconds"], state["outbox_lag"] or {}
    if oldest is not None and oldest > WAITS_TOO_LONG_SECONDS:
        text = f"A run has waited for a worker for {seconds(oldest)}. All may be at work: start another."
        found.append(Problem(text, "See what waits.", reverse("dashboard:runs") + "?status=queued"))
    if (lag.get("oldest_seconds") or 0) > LAGS_TOO_LONG_SECONDS:
        text = f"{lag['events']:,} events have waited for their stream for up to {seconds(lag['oldest_seconds'])}."
        found.append(Problem(text, "Beat sends them once Redis takes them; see its log."))
    return found


def failing() -> list[Problem]:
    """Enabled policies of which the last run failed or could not start."""
    names = list(PolicyStore.objects.filter(enabled=True).failing().values_list("name", flat=True).order_by("name"))
    if not names:
        return []
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
    text = f"The last run of {listed} failed." if len(names) == 1 else f"The last runs of {listed} failed."
    if len(names) == 1:
        return [Problem(text, "See its error.", reverse("dashboard:policy", args=[names[0]]))]
    return [Problem(text, "See their errors.", reverse("dashboard:policies") + "?show=failing")]


def alerts(user: Any) -> list[Problem]:
    """Alerts that are open and that nobody has acknowledged, newest first."""
    if not user.has_perm(VIEW_ALERT):
        return []
    found = list(Alert.objects.unacknowledged().listed()[: NAMED + 1])
    shown = [unacknowledged(alert, user.has_perm(CHANGE_ALERT)) for alert in found[:NAMED]]
    more = Problem("There are more alerts.", "See them all.", reverse("dashboard:alerts"))
    return [*shown, more] if len(found) > NAMED else shown


def unacknowledged(alert: Alert, may_acknowledge: bool) -> Problem:
    if not may_acknowledge:
        return Problem(said_of(alert))
    return Problem(
        said_of(alert), "Acknowledge it.", reverse("dashboard:acknowledge-alert", args=[alert.pk]), asks=True
    )


def verdict(found: list[Problem]) -> tuple[str, str]:
    """The kind of state (good, warn, bad) and a sentence."""
    if any(problem.stops_training for problem in found):
        return "bad", "Training is held up"
    return ("warn", "Training needs attention") if found else ("good", "Training is healthy")
