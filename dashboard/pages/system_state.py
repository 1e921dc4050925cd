"""The state of the whole system: its parts, its problems, and what an operator can do about each problem."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.urls import reverse

from dashboard.monitoring import readiness
from dashboard.pages.alerts import CHANGE_ALERT, VIEW_ALERT, described
from dashboard.templatetags.figures import seconds
from rl_training.alerts.models import Alert
from rl_training.models import PolicyStore

T = TypeVar("T")

# Requests within this time share one check. A lost part shows this much later than its check notices the loss.
FRESH_SECONDS = 2.0
# Beat resends a lost message within half a minute, so a longer wait means that every worker is busy or gone.
QUEUED_TOO_LONG_SECONDS = 300.0
UNPUBLISHED_TOO_LONG_SECONDS = 60.0
# A longer list of policies or alerts is cut off after this many.
NAMED = 5

LABELS = {"beat": "Beat", "worker": "Workers", "redis": "Redis", "database": "Database", "alerts": "Alerts"}
# No run can train without these parts.
NEEDED = ("database", "redis", "beat", "worker")
DETAILS = {"ok": "answers", "away": "does not answer", "silent": "no heartbeat", "unknown": "unknown"}
# The problem and the remedy for each part that can be lost, the worst first.
LOST = {
    "database": ("The database does not answer.", "Start it, or see DATABASE_URL."),
    "redis": ("Redis does not answer: workers receive no runs, and events wait.", "Start it, or see REDIS_URL."),
    "beat": ("Beat is silent: the schedule starts no run.", "Start it: celery -A celery_app beat"),
    "worker": ("No worker sends a heartbeat: runs stay queued.", "Start one: celery -A celery_app worker -Q training"),
    "alerts": (
        "The alerts process is silent: no alert opens, and no message is sent.",
        "The process may have ended; see its log.",
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
    """A problem, its remedy, and the URL of the remedy.

    `is_question` says that the URL is a question page, which the browser opens in a dialog.
    """

    text: str
    remedy: str = ""
    url: str = ""
    is_question: bool = False
    stops_training: bool = False


class Shared(Generic[T]):
    """A value that is computed once for all requests within `FRESH_SECONDS`."""

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._known: tuple[float, T] | None = None

    def get(self) -> T:
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] > FRESH_SECONDS:
                value = self._compute()
                self._known = time.monotonic(), value
            return self._known[1]


STATE: Shared[dict[str, Any]] = Shared(lambda: readiness.state())


def parts(state: dict[str, Any]) -> list[Part]:
    """Return the parts in a `readiness.state`, beat and workers first."""
    return [Part(label, state[name]["state"], detail(state[name])) for name, label in LABELS.items() if name in state]


def detail(check: dict[str, Any]) -> str:
    if check.get("seconds_ago") is not None:
        return f"heartbeat {seconds(check['seconds_ago'])} ago"
    return DETAILS[check["state"]]


def problems(state: dict[str, Any], user: Any) -> list[Problem]:
    """Return the problems that `user` may see, the worst first."""
    lost = [name for name in LOST if name in state and state[name]["state"] in ("away", "silent")]
    found = [Problem(*LOST[name], stops_training=name in NEEDED) for name in lost]
    return found + waiting(state) + failing() + alerts(user)


def waiting(state: dict[str, Any]) -> list[Problem]:
    """Return the problems of runs that stay queued and of events that stay unpublished for too long."""
    found = []
    oldest, lag = state["oldest_queued_seconds"], state["outbox_lag"] or {}
    if oldest is not None and oldest > QUEUED_TOO_LONG_SECONDS:
        text = f"A run has waited for a worker for {seconds(oldest)}. All workers may be busy: start another."
        found.append(Problem(text, "See the queued runs.", reverse("dashboard:runs") + "?status=queued"))
    if (lag.get("oldest_seconds") or 0) > UNPUBLISHED_TOO_LONG_SECONDS:
        text = f"{lag['events']:,} events have waited for their stream for up to {seconds(lag['oldest_seconds'])}."
        found.append(Problem(text, "Beat publishes them once Redis accepts them; see its log."))
    return found


def failing() -> list[Problem]:
    """Return the problem of the enabled policies whose last run failed or could not start."""
    names = list(PolicyStore.objects.filter(enabled=True).failing().values_list("name", flat=True).order_by("name"))
    if not names:
        return []
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
    text = f"The last run of {listed} failed." if len(names) == 1 else f"The last runs of {listed} failed."
    if len(names) == 1:
        return [Problem(text, "See its error.", reverse("dashboard:policy", args=[names[0]]))]
    return [Problem(text, "See their errors.", reverse("dashboard:policies") + "?show=failing")]


def alerts(user: Any) -> list[Problem]:
    """Return the open alerts that no user has acknowledged, newest first."""
    if not user.has_perm(VIEW_ALERT):
        return []
    found = list(Alert.objects.unacknowledged().listed()[: NAMED + 1])
    shown = [unacknowledged(alert, user.has_perm(CHANGE_ALERT)) for alert in found[:NAMED]]
    more = Problem("There are more alerts.", "See all alerts.", reverse("dashboard:alerts"))
    return [*shown, more] if len(found) > NAMED else shown


def unacknowledged(alert: Alert, may_acknowledge: bool) -> Problem:
    if not may_acknowledge:
        return Problem(described(alert))
    url = reverse("dashboard:acknowledge-alert", args=[alert.pk])
    return Problem(described(alert), "Acknowledge it.", url, is_question=True)


def verdict(found: list[Problem]) -> tuple[str, str]:
    """Return the kind of state (good, warn, bad) and a sentence that says it."""
    if any(problem.stops_training for problem in found):
        return "bad", "Training is held up"
    return ("warn", "Training needs attention") if found else ("good", "Training is healthy")
