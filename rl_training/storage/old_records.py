"""Removal of records that would grow forever: the history of settings, ended web sessions, resolved alerts."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.apps import apps
from django.conf import settings
from django.db.models import Model, QuerySet
from django.db.models.expressions import OuterRef, Subquery

from rl_training.models import PolicyStore

log = structlog.get_logger(__name__)

# The most rows of each kind that one call removes.
BATCH = 1000


def remove(now: datetime) -> dict[str, int]:
    """Remove the records that retention no longer keeps, at most BATCH of each kind; return their numbers.

    Retention keeps the newest `settings.SETTINGS_HISTORY_KEPT` changes of each policy, sessions until they end, and
    alerts for `settings.ALERT_RETENTION_DAYS` after they were resolved.
    """
    kinds = {"changes of settings": _old_changes(), "sessions": _ended_sessions(now), "alerts": _old_alerts(now)}
    removed = {kind: _remove(rows) for kind, rows in kinds.items()}
    if any(removed.values()):
        log.info("Deleted old records", **{kind.replace(" ", "_"): number for kind, number in removed.items()})
    return removed


def _remove(rows: QuerySet[Any]) -> int:
    found = [*rows.order_by("pk").values_list("pk", flat=True)[:BATCH]]
    if found:
        rows.model._default_manager.filter(pk__in=found).delete()
    return len(found)


def _old_changes() -> QuerySet[Any]:
    changes = PolicyStore.history.model._default_manager.order_by()
    own = changes.filter(id=OuterRef("id")).order_by("-history_id").values("history_id")
    # Reads at most SETTINGS_HISTORY_KEPT entries of an index for each policy.
    oldest_kept = Subquery(own[settings.SETTINGS_HISTORY_KEPT - 1 : settings.SETTINGS_HISTORY_KEPT])
    policies = changes.values("id").distinct().annotate(oldest=oldest_kept).filter(oldest__isnull=False)
    old: QuerySet[Any] = changes.none()
    for policy in policies:
        old |= changes.filter(id=policy["id"], history_id__lt=policy["oldest"])
    return old


def _ended_sessions(now: datetime) -> QuerySet[Any]:
    return _model("sessions", "Session").filter(expire_date__lt=now)


def _old_alerts(now: datetime) -> QuerySet[Any]:
    return _model("alerts", "Alert").filter(resolved_at__lt=now - timedelta(days=settings.ALERT_RETENTION_DAYS))


def _model(app: str, name: str) -> QuerySet[Model]:
    """Return all rows of a table of another app, which this room may not import."""
    found: QuerySet[Model] = apps.get_model(app, name)._default_manager.all()
    return found
