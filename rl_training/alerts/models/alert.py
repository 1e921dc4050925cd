from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from rl_training.alerts.kinds import SPECS, Kind, Severity
from rl_training.alerts.models.rule import AlertRule
from rl_training.models import PolicyStore, TrainingRun
from rl_training.models.columns import large_run_columns


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> AlertQuerySet:
        """Filter alerts whose condition still holds, acknowledged or not."""
        return self.filter(resolved_at=None)

    def unacknowledged(self) -> AlertQuerySet:
        """Filter open alerts that no user has acknowledged."""
        return self.open().filter(acknowledged_at=None)

    def listed(self) -> AlertQuerySet:
        """Order newest first and join the names that a list shows; large columns stay in the database."""
        related = ("policy", "run", "acknowledged_by")
        return self.select_related(*related).defer(*large_run_columns("run")).order_by("-opened_at")


class Alert(models.Model):
    """One period during which a rule's condition held. Only `state_changes.py` writes these rows."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="alerts")
    # Copies of the rule's columns: most lists and filters then need no join.
    policy = models.ForeignKey(PolicyStore, null=True, blank=True, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=20, choices=Kind)
    run = models.ForeignKey(
        TrainingRun,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The run that made the condition true, if a run did.",
    )
    message = models.TextField(help_text="What was found when the alert opened.")
    opened_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True, help_text="When the condition had ended.")

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ("-opened_at",)
        indexes = (
            models.Index(fields=["-opened_at"], name="alert_opened_at"),
            models.Index(fields=["policy", "-opened_at"], name="alert_of_policy"),
            models.Index(fields=["kind"], condition=Q(resolved_at=None), name="alert_open"),
        )
        constraints = (
            models.UniqueConstraint(fields=["rule"], condition=Q(resolved_at=None), name="alert_one_open_per_rule"),
        )

    def __str__(self) -> str:
        return self.message

    @property
    def state(self) -> str:
        """Return `resolved`, `acknowledged` or `open`."""
        if self.resolved_at:
            return "resolved"
        return "acknowledged" if self.acknowledged_at else "open"

    @property
    def severity(self) -> Severity:
        """Return `critical`, `warning` or `info`."""
        return SPECS[self.kind].severity
