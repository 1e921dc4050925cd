"""Every query of alerts that has a meaning has a name here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from rl_training.querysets import large_run_columns, typed_columns

if TYPE_CHECKING:
    from rl_training.alerts.models import Alert, AlertChannel, AlertMessage  # noqa: F401


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> AlertQuerySet:
        """Whose condition holds, acknowledged or not."""
        return self.filter(resolved_at=None)

    def unacknowledged(self) -> AlertQuerySet:
        """Open, and nobody has said that he knows."""
        return self.open().filter(acknowledged_at=None)

    def listed(self) -> AlertQuerySet:
        """Newest first, with the names that a list shows; the policy's typed columns are left in the database."""
        related = ("policy", "run", "acknowledged_by")
        large = (*large_run_columns("run"), *typed_columns("policy"))
        return self.select_related(*related).defer(*large).order_by("-opened_at")


class AlertChannelQuerySet(models.QuerySet["AlertChannel"]):
    def enabled(self) -> AlertChannelQuerySet:
        return self.filter(enabled=True)


class AlertMessageQuerySet(models.QuerySet["AlertMessage"]):
    def waiting(self) -> AlertMessageQuerySet:
        """Neither sent nor given up."""
        return self.filter(sent_at=None, given_up=False)

    def due(self, now: datetime) -> AlertMessageQuerySet:
        """To be sent, and not in somebody's hands: whoever takes one puts its next try off first."""
        return self.waiting().filter(Q(next_try_at__lte=now), channel__enabled=True)
