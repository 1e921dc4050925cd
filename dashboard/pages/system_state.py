"""The state of the whole system: its parts, its problems, and what an operator can do about each problem."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db.models import Count, OuterRef, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from dashboard.monitoring import readiness
from dashboard.pages.alerts import CHANGE_ALERT, VIEW_ALERT, described
from dashboard.templatetags.cells import age
from rl_training.alerts.kinds import INFO_KINDS
from rl_training.alerts.models import Alert
from rl_training.core.words import count_of
from rl_training.models import PolicyStore, Proposal, TrainingRun
from rl_training.roles import DEPLOY
from rl_training.versions.proposals import in_words

T = TypeVar("T")

# Requests within this time share one check. A lost part shows this much later than its check notices the loss.
FRESH_SECONDS = 2.0
# Beat resends a lost message within half a minute, so a longer wait means that every worker is busy or gone.
QUEUED_TOO_LONG_SECONDS = 300.0
UNPUBLISHED_TOO_LONG_SECONDS = 60.0
# A longer list of policies or alerts is cut off after this many.
NAMED = 5

LABELS = {
    "beat": "Beat",
    "worker": "Workers",
    "redis": "Redis",
    "database": "Database",
    "alerts": "Alerts",
    "decide": "Decisions",
}
# No run can train without these parts.
NEEDED = ("database", "redis", "beat", "worker")
DETAILS = {"ok": "answers", "away": "does not answer", "silent": "no heartbeat", "unknown": "unknown"}
# The problem and the remedy for each part that can be lost, the worst first.
LOST = {
    "database": ("The database does not answer.", "Start the database, or see DATABASE_URL."),
    "redis": ("Redis does not answer: workers receive no runs, and events wait.", "Start Redis, or see REDIS_URL."),
    "beat": ("Beat is silent: the schedule starts no run.", "Start beat: celery -A celery_app beat"),
    "worker": (
        "No worker sends a heartbeat: runs stay queued.",
        "Start a worker: celery -A celery_app worker -Q training",
    ),
    "alerts": (
        "The alerts process is silent: no alert opens, and no message is sent.",
        "The process may have ended; see its log.",
    ),
    "decide": (
        "The deciding process is silent: no policy decides on new bars.",
        "Start the process: celery -A celery_app worker -Q decisions --pool threads",
    ),
}


@dataclass(frozen=True)
class Part:
    """A part of the system; `state` is ok, away, silent or unknown.

    `heartbeat_at` is the time of the last heartbeat; `silent_after` is the number of seconds after which it is too old.
    """

    name: str
    state: str
    heartbeat_at: datetime | None = None
    silent_after: float | None = None

    @property
    def label(self) -> str:
        return LABELS[self.name]

    @property
    def detail(self) -> str:
        return DETAILS[self.state]


@dataclass(frozen=True)
class Problem:
    """A problem, its remedy, and the URL of the remedy.

    `is_question` says that the URL is a question page, which the browser opens in a dialog. A `notice` is listed like
    a problem, but needs nothing to be done. `found_at` is when a problem was found that may have ended since.
    """

    text: str
    remedy: str = ""
    url: str = ""
    is_question: bool = False
    stops_training: bool = False
    notice: bool = False
    found_at: datetime | None = None

    @property
    def kind(self) -> str:
        return "bad" if self.stops_training else "notice" if self.notice else "warn"


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


def checked() -> dict[str, Any]:
    """Return `readiness.state` with the time of the check as `at`."""
    return {**readiness.state(), "at": timezone.now()}


STATE: Shared[dict[str, Any]] = Shared(checked)


def parts(state: dict[str, Any]) -> list[Part]:
    """Return the parts in a state of `checked`, beat and workers first."""
    return [part(name, state[name], state["at"]) for name in LABELS if name in state]


def part(name: str, check: dict[str, Any], at: datetime) -> Part:
    seconds_ago = check.get("seconds_ago")
    heartbeat_at = None if seconds_ago is None else at - timedelta(seconds=seconds_ago)
    return Part(name, check["state"], heartbeat_at, settings.SILENT_AFTER_SECONDS.get(name))


def problems(state: dict[str, Any], user: Any) -> list[Problem]:
    """Return the problems that `user` may see, the worst first."""
    lost = [name for name in LOST if name in state and state[name]["state"] in ("away", "silent")]
    found = [Problem(*LOST[name], stops_training=name in NEEDED) for name in lost]
    return found + waiting(state) + failing() + proposed(user) + alerts(user)


def waiting(state: dict[str, Any]) -> list[Problem]:
    """Return the problems of runs that stay queued and of events that stay unpublished for too long."""
    found = []
    queued_at = time_before(state["at"], state["oldest_queued_seconds"], QUEUED_TOO_LONG_SECONDS)
    lag = state["outbox_lag"] or {}
    written_at = time_before(state["at"], lag.get("oldest_seconds"), UNPUBLISHED_TOO_LONG_SECONDS)
    if queued_at:
        form = "A run has waited for a worker for {}. All workers may be busy: start another worker."
        text = format_html(form, age(queued_at))
        found.append(Problem(text, "See the queued runs.", reverse("dashboard:runs") + "?status=queued"))
    if written_at:
        text = format_html(
            "{} waiting for the stream, for up to {}.", count_of(lag["events"], "event"), age(written_at)
        )
        found.append(Problem(text, "Beat publishes them once Redis accepts them; see its log."))
    return found


def time_before(at: datetime, seconds: float | None, limit: float) -> datetime | None:
    """Return the time `seconds` before `at`, or None when they are unknown or not more than the limit."""
    return at - timedelta(seconds=seconds) if seconds is not None and seconds > limit else None


def failing() -> list[Problem]:
    """Return the problem of the enabled policies whose last run failed or could not start."""
    ended = TrainingRun.objects.filter(policy=OuterRef("pk"), finished_at__isnull=False).order_by("-finished_at")
    found = PolicyStore.objects.filter(enabled=True).failing().annotate(ended=Subquery(ended.values("status")[:1]))
    rows = list(found.order_by("name").values_list("name", "ended"))
    names = [name for name, _ in rows]
    if not names:
        return []
    listed = ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")
    text = f"The last run of {listed} failed" if len(names) == 1 else f"The last runs of {listed} failed"
    newer = any(ended == TrainingRun.Status.CANCELLED for _, ended in rows)
    text += "; newer runs were cancelled." if newer else "."
    if len(names) == 1:
        return [Problem(text, "See its error.", reverse("dashboard:policy", args=[names[0]]))]
    return [Problem(text, "See their errors.", reverse("dashboard:policies") + "?show=failing")]


def proposed(user: Any) -> list[Problem]:
    """Return the waiting proposals that `user` may decide, the oldest first."""
    if not user.has_perm(DEPLOY):
        return []
    found = Proposal.objects.waiting().shown().order_by("proposed_at")[:NAMED]
    texts = ((f"A proposal waits: {in_words(one)} of {one.policy}.", one.policy.name) for one in found)
    return [Problem(text, "Decide it.", reverse("dashboard:policy", args=[name])) for text, name in texts]


def alerts(user: Any) -> list[Problem]:
    """Return the open alerts that no user has acknowledged, newest first."""
    if not user.has_perm(VIEW_ALERT):
        return []
    found = list(Alert.objects.unacknowledged().listed()[: NAMED + 1])
    shown = [unacknowledged(alert, user.has_perm(CHANGE_ALERT)) for alert in found[:NAMED]]
    if len(found) <= NAMED:
        return shown
    notice = not Alert.objects.unacknowledged().exclude(kind__in=INFO_KINDS).exists()
    return [*shown, Problem("There are more alerts.", "See all alerts.", reverse("dashboard:alerts"), notice=notice)]


def unacknowledged(alert: Alert, may_acknowledge: bool) -> Problem:
    found = Problem(described(alert), notice=alert.severity == "info", found_at=alert.opened_at)
    if not may_acknowledge:
        return found
    url = reverse("dashboard:acknowledge-alert", args=[alert.pk])
    return replace(found, remedy="Acknowledge it.", url=url, is_question=True)


def open_alerts(user: Any) -> tuple[int, int]:
    """Return how many open alerts that `user` may see are unacknowledged, and how many are acknowledged."""
    if not user.has_perm(VIEW_ALERT):
        return 0, 0
    counts = Alert.objects.open().aggregate(all=Count("pk"), acknowledged=Count("acknowledged_at"))
    return counts["all"] - counts["acknowledged"], counts["acknowledged"]


def verdict(found: list[Problem], open_alerts: tuple[int, int] = (0, 0)) -> tuple[str, str]:
    """Return the kind of state (good, warn, bad) and a sentence with this state and the number of open alerts."""
    needs = any(not problem.notice for problem in found)
    kind, sentence = ("warn", "Training needs attention") if needs else ("good", "Training is healthy")
    if any(problem.stops_training for problem in found):
        kind, sentence = "bad", "Training is held up"
    unacknowledged, acknowledged = open_alerts
    if number := unacknowledged or acknowledged:
        what = "alert" if unacknowledged else "acknowledged alert"
        sentence += f"; {count_of(number, what)} {'is' if number == 1 else 'are'} open"
    return kind, sentence
