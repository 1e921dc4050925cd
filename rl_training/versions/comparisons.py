"""The life of a comparison: the only code that writes one.

    queued -> running -> succeeded | failed | cancelled
       ^         |
       +---------+  released (graceful stop), or reaped (worker lost)

Every transition is one conditional UPDATE, as those of a run in `runs/lifecycle.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from pydantic import ValidationError

from quantum_trader.text import storable
from rl_training.core.market_config import SOURCE_FIELDS, MarketConfig
from rl_training.models import ComparedVersion, Comparison, PolicyVersion
from rl_training.runs.reaping import MAX_LOST_WORKERS, lost_after
from rl_training.runs.task_messages import waiting_ids
from rl_training.transactions import after_commit

log = structlog.get_logger(__name__)

TASK = "rl_training.tasks.compare_versions"
# Each account is a line of one chart, and more are not told apart.
FEWEST_VERSIONS, MOST_VERSIONS = 2, 8
SELECT = f"Select {FEWEST_VERSIONS} to {MOST_VERSIONS} different versions."

Status = Comparison.Status


class CannotCompareError(Exception):
    """The versions cannot be compared; the message says why."""


def request(versions: Sequence[PolicyVersion], *, user: Any = None, send_message: bool = True) -> Comparison:
    """Queue a comparison of these versions, in this order, and notify a worker; return an active one of the same.

    The first version is the one whose costs all others are given. Raises `CannotCompareError`.
    """
    ids = [version.pk for version in versions]
    if len(set(ids)) != len(ids):
        raise CannotCompareError(SELECT)
    with transaction.atomic():
        # Locked, so that the weights of a version are not removed while it becomes a compared one.
        locked = PolicyVersion.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")
        check(list(locked.select_related("policy", "run").defer("evaluation")))
        market = common_market(versions)
        active = Comparison.objects.of_versions(ids).active().first()
        if active is not None:
            return active
        comparison = Comparison.objects.create(size=len(ids), market=market.label, requested_by=user)
        ComparedVersion.objects.bulk_create(
            ComparedVersion(comparison=comparison, version_id=pk, place=place) for place, pk in enumerate(ids)
        )
        if send_message:
            after_commit(lambda: _send([comparison]))
    return comparison


def check(versions: Sequence[PolicyVersion]) -> None:
    """Raise `CannotCompareError` unless these versions can be compared, as far as it is known before."""
    if not FEWEST_VERSIONS <= len(versions) <= MOST_VERSIONS:
        raise CannotCompareError(SELECT)
    for version in versions:
        if version.weights_removed_at is not None:
            raise CannotCompareError(f"The weights of {version} were removed.")
    common_market(versions)


def common_market(versions: Sequence[PolicyVersion]) -> MarketConfig:
    """Return the market that all versions were trained on; of an exchange's bars, with the most that any run read.

    Raises `CannotCompareError` that names a version whose market is another or is stored unreadable.
    """
    configs = []
    for version in versions:
        try:
            configs.append(MarketConfig.model_validate(version.run.config["market"]))
        except (ValidationError, KeyError, TypeError):
            raise CannotCompareError(f"The market of {version} is stored unreadable.") from None
        if _identity(configs[-1]) != _identity(configs[0]):
            first, other = (configs[0].label, configs[-1].label)
            also = "" if first != other else ", with other settings"
            raise CannotCompareError(
                f"They are of different markets: {versions[0]} of {first}, {version} of {other}{also}."
            )
    return max(configs, key=lambda config: config.bars)


def _identity(config: MarketConfig) -> tuple[Any, ...]:
    """Return what decides which bars a market has. An exchange's number of bars only decides how far back they go."""
    names = [name for name in SOURCE_FIELDS[config.source] if (config.source, name) != ("exchange", "bars")]
    return (config.source, *(getattr(config, name) for name in names))


def find(comparison_id: str) -> Comparison | None:
    """Return the comparison with this id and the user who requested it."""
    return Comparison.objects.select_related("requested_by").filter(comparison_id=comparison_id).first()


def newest_of(versions: Sequence[int]) -> Comparison | None:
    """Return the newest comparison of the versions with these ids, in this order, that has a result or will."""
    found = Comparison.objects.of_versions(versions).exclude(status__in=[Status.FAILED, Status.CANCELLED])
    return found.defer("result").first()


def claim(comparison_id: str) -> Comparison | None:
    """queued -> running, as a new attempt of the caller's. Returns None when it is not queued (any more)."""
    with transaction.atomic():
        queued = Comparison.objects.filter(comparison_id=comparison_id, status=Status.QUEUED)
        if not queued.update(status=Status.RUNNING, attempt=F("attempt") + 1, heartbeat_at=Now()):
            return None
        claimed = Comparison.objects.get(comparison_id=comparison_id)
        if claimed.started_at is None:
            claimed.started_at = timezone.now()
            Comparison.objects.held_by(claimed).update(started_at=claimed.started_at)
    return claimed


def heartbeat(comparison: Comparison) -> bool:
    """Write the owner's heartbeat; return False when another attempt owns the comparison or it was cancelled."""
    return bool(Comparison.objects.held_by(comparison).update(heartbeat_at=Now()))


def succeed(comparison: Comparison, columns: Mapping[str, Any]) -> bool:
    """running -> succeeded, with the result's columns; return False when another attempt owns it."""
    return _end(comparison, Status.SUCCEEDED, **columns)


def fail(comparison: Comparison, error: str) -> bool:
    """running -> failed; return False when another attempt owns it."""
    return _end(comparison, Status.FAILED, error=storable(error))


def cancel(comparison: Comparison) -> bool:
    """queued or running -> cancelled at once; return False when it has ended. A worker notices within a heartbeat."""
    active = Comparison.objects.active().filter(pk=comparison.pk)
    return bool(active.update(status=Status.CANCELLED, finished_at=timezone.now()))


def _end(comparison: Comparison, status: Comparison.Status, **columns: Any) -> bool:
    ended = Comparison.objects.held_by(comparison).update(status=status, finished_at=timezone.now(), **columns)
    if ended:
        log.info("Comparison ended", comparison_id=comparison.comparison_id, status=str(status), **_why(columns))
    return bool(ended)


def _why(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: columns[name] for name in ("error", "bars") if name in columns}


def release(comparison: Comparison, *, workers_lost: int | None = None) -> bool:
    """running -> queued; return False when another attempt owns the comparison."""
    columns: dict[str, Any] = {"status": Status.QUEUED, "heartbeat_at": None, "queued_at": timezone.now()}
    if workers_lost is not None:
        columns["workers_lost"] = workers_lost
    with transaction.atomic():
        released = Comparison.objects.held_by(comparison).update(sent_at=None, **columns)
        if released:
            after_commit(lambda: _send([comparison]))
    return bool(released)


def maintain(now: datetime, *, may_reap: bool) -> None:
    """Queue comparisons with a lost worker again, or fail them, and send lost messages again.

    `may_reap` is False while missing heartbeats prove nothing, as after the database was away.
    """
    for lost in Comparison.objects.lost(lost_after()).defer("result") if may_reap else ():
        workers = lost.workers_lost + 1
        if workers >= MAX_LOST_WORKERS:
            fail(lost, f"worker lost in {workers} attempts")
        else:
            release(lost, workers_lost=workers)
    timeout = timedelta(seconds=settings.MESSAGE_RESEND_AFTER_SECONDS)
    undelivered = list(Comparison.objects.undelivered(now, timeout).defer("result"))
    if undelivered:
        waiting = waiting_ids()
        _send([comparison for comparison in undelivered if comparison.comparison_id not in waiting])


def _send(comparisons: Sequence[Comparison]) -> None:
    """Notify a worker; beat sends again what the broker does not take."""
    for comparison in comparisons:
        name = comparison.comparison_id
        try:
            current_app.send_task(TASK, kwargs={"comparison_id": name}, task_id=name, queue=settings.TRAINING_QUEUE)
        except (BrokerError, OSError) as error:
            log.warning("Comparison stays queued until the broker is back", comparison_id=name, error=str(error))
            return
        Comparison.objects.filter(pk=comparison.pk).update(sent_at=timezone.now())
