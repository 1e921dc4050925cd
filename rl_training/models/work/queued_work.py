"""Queued work, which a worker owns while it executes the work: the columns and queries of the work's life.

`runs/work_lifecycle.py` changes these columns. A training run has a similar life with more columns, see
`models/runs.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

Work = TypeVar("Work", bound="QueuedWork")


class QueuedWorkQuerySet(models.QuerySet[Work]):
    def active(self) -> Self:
        """Select the queued and running work."""
        return self.filter(status__in=["queued", "running"])

    def held_by(self, work: Work) -> Self:
        """Select `work` while it has the status and attempt that it was read with."""
        return self.active().filter(pk=work.pk, status=work.status, attempt=work.attempt)

    def lost(self, timeout: timedelta) -> Self:
        """Select the running work without a heartbeat for `timeout`, by the database's clock.

        A heartbeat far in the future counts as none: the clock was set back since.
        """
        return self.filter(status="running").exclude(heartbeat_at__range=(Now() - timeout, Now() + timeout))

    def undelivered(self, now: datetime, timeout: timedelta) -> Self:
        """Select the queued work whose task message was last sent more than `timeout` ago: the message may be lost."""
        sent = Coalesce("sent_at", "queued_at")
        return self.filter(status="queued").alias(sent=sent).exclude(sent__range=(now - timeout, now + timeout))


class QueuedWork(models.Model):
    """One piece of work. A subclass names its task and the task's argument, which is the id column of its rows."""

    class Status(models.TextChoices):
        QUEUED = "queued"  # waits for a worker
        RUNNING = "running"  # a worker computes it and writes its heartbeat
        SUCCEEDED = "succeeded"  # has a result
        FAILED = "failed"  # `error` gives the reason
        CANCELLED = "cancelled"  # at a user's request

    ACTIVE = (Status.QUEUED, Status.RUNNING)
    TASK: ClassVar[str]
    ID: ClassVar[str]

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When a task message was last sent to the workers.")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    workers_lost = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts that ended because the worker was lost."
    )
    heartbeat_at = models.DateTimeField(
        null=True, blank=True, help_text="The worker's last heartbeat, by the database's clock."
    )
    error = models.TextField(blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.task_id

    @property
    def task_id(self) -> str:
        """The id of the work and of its task."""
        found: str = getattr(self, self.ID)
        return found


def work_constraints(name: str) -> tuple[Any, ...]:
    """Return the constraint of the status of a subclass; the constraint's name begins with `name`."""
    return (
        models.CheckConstraint(
            condition=Q(status__in=["queued", "running", "succeeded", "failed", "cancelled"]),
            name=f"{name}_status_known",
        ),
    )


def active_index(name: str) -> models.Index:
    """Return the index for the active work of a subclass; the index's name begins with `name`."""
    return models.Index(
        fields=["status", "heartbeat_at"], condition=Q(status__in=["queued", "running"]), name=f"{name}_active"
    )
