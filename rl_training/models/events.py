"""Events of runs, validations, deployments, decisions and comparisons, as the outbox stores them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from rl_training.models.decisions.comparisons import ArmComparison
from rl_training.models.decisions.decided import Decision
from rl_training.models.deployments import Deployment
from rl_training.models.runs import TrainingRun
from rl_training.models.work.validations import Validation

# The clocks of two machines differ by less than this. A time further in the future was written before a clock was set
# back.
MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)


def _exactly_one(*names: str) -> Q:
    """Return the condition that exactly one of these columns has a value."""
    cases = Q()
    for name in names:
        cases |= Q(**{f"{other}__isnull": other != name for other in names})
    return cases


class TrainingEventQuerySet(models.QuerySet["TrainingEvent"]):
    def unpublished(self, before: datetime) -> TrainingEventQuerySet:
        """Select the events written before `before` that are not on their stream, oldest first.

        Events with a timestamp more than a minute after `before` are selected too: a clock that was set back since, or
        the clock of another machine, wrote them.
        """
        just_written = (before, before + MAX_CLOCK_DIFFERENCE)
        return self.filter(published_at=None).exclude(timestamp__range=just_written).order_by("id")


class TrainingEvent(models.Model):
    """An event for a Redis stream, written in the transaction of the change that it announces."""

    event_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    event_type = models.CharField(max_length=80, help_text="Also the name of the stream.")
    # The unique constraints below have the indexes of runs and validations.
    run = models.ForeignKey(
        TrainingRun, null=True, blank=True, on_delete=models.PROTECT, related_name="events", db_index=False
    )
    deployment = models.OneToOneField(Deployment, null=True, blank=True, on_delete=models.PROTECT, related_name="event")
    validation = models.ForeignKey(
        Validation, null=True, blank=True, on_delete=models.PROTECT, related_name="events", db_index=False
    )
    decision = models.OneToOneField(Decision, null=True, blank=True, on_delete=models.PROTECT, related_name="event")
    arm_comparison = models.OneToOneField(
        ArmComparison, null=True, blank=True, on_delete=models.PROTECT, related_name="event"
    )
    timestamp = models.DateTimeField(default=timezone.now)
    payload = models.JSONField()
    published_at = models.DateTimeField(null=True, blank=True)

    objects = TrainingEventQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["id"], condition=Q(published_at__isnull=True), name="event_unpublished"),
            models.Index(fields=["-timestamp"], name="event_timestamp"),
            models.Index(fields=["event_type", "-timestamp"], name="event_of_type"),
        )
        constraints = (
            models.UniqueConstraint(fields=["run", "event_type"], name="event_once_per_run"),
            models.UniqueConstraint(fields=["validation", "event_type"], name="event_once_per_validation"),
            models.CheckConstraint(
                condition=_exactly_one("run", "deployment", "validation", "decision", "arm_comparison"),
                name="event_of_one_subject",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"

    @property
    def trace_id(self) -> str:
        """The id of the run, validation or comparison, or `deployment-` or `decision-` with its number."""
        if self.validation:
            return self.validation.validation_id
        if self.run:
            return self.run.run_id
        if self.arm_comparison:
            return self.arm_comparison.comparison_id
        return f"deployment-{self.deployment_id}" if self.deployment_id else f"decision-{self.decision_id}"
