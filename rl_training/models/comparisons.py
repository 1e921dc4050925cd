"""Comparisons of policy versions on bars that none of them was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from rl_training.models.runs import new_run_id
from rl_training.models.version_results import MARKET_LENGTH
from rl_training.models.versions import PolicyVersion


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    def active(self) -> ComparisonQuerySet:
        """Select the queued and running comparisons."""
        return self.filter(status__in=["queued", "running"])

    def held_by(self, comparison: Comparison) -> ComparisonQuerySet:
        """Select `comparison` while it has the status and attempt that it was read with."""
        return self.active().filter(pk=comparison.pk, status=comparison.status, attempt=comparison.attempt)

    def lost(self, timeout: timedelta) -> ComparisonQuerySet:
        """Select the running comparisons without a heartbeat for `timeout`, by the database's clock.

        A heartbeat far in the future counts as none: the clock was set back since.
        """
        return self.filter(status="running").exclude(heartbeat_at__range=(Now() - timeout, Now() + timeout))

    def undelivered(self, now: datetime, timeout: timedelta) -> ComparisonQuerySet:
        """Select the queued comparisons whose task message was last sent more than `timeout` ago: it may be lost."""
        sent = Coalesce("sent_at", "queued_at")
        return self.filter(status="queued").alias(sent=sent).exclude(sent__range=(now - timeout, now + timeout))

    def of_versions(self, versions: Sequence[int]) -> ComparisonQuerySet:
        """Select the comparisons of exactly the versions with these ids, in this order."""
        found = self.filter(size=len(versions))
        for place, version in enumerate(versions):
            places = ComparedVersion.objects.filter(place=place, version=version)
            found = found.filter(pk__in=places.values("comparison"))
        return found


class Comparison(models.Model):
    """One comparison of versions. Only `versions/comparisons.py` writes it; a succeeded one never changes."""

    class Status(models.TextChoices):
        QUEUED = "queued"  # waits for a worker
        RUNNING = "running"  # a worker computes it and writes its heartbeat
        SUCCEEDED = "succeeded"  # has a result
        FAILED = "failed"  # `error` gives the reason
        CANCELLED = "cancelled"  # at a user's request

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    comparison_id = models.CharField(max_length=12, unique=True, default=new_run_id, editable=False)
    versions = models.ManyToManyField(PolicyVersion, through="ComparedVersion", related_name="comparisons")
    size = models.PositiveSmallIntegerField(help_text="Number of versions.")
    market = models.CharField(max_length=MARKET_LENGTH, help_text="The market's label.")
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="The user who requested it; none for the command.",
    )
    requested_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When a task message was last sent to the workers.")
    started_at = models.DateTimeField(null=True, blank=True, help_text="First start: bars until then are compared on.")
    finished_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    workers_lost = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts that ended because the worker was lost."
    )
    heartbeat_at = models.DateTimeField(null=True, blank=True, help_text="The worker's last, by the database's clock.")
    bars = models.PositiveIntegerField(null=True, blank=True, help_text="Decisions that were compared.")
    bars_first = models.DateTimeField(null=True, blank=True, help_text="The bar of the first decision.")
    bars_last = models.DateTimeField(null=True, blank=True)
    bars_digest = models.CharField(max_length=64, blank=True, help_text="Of the bars from the first decision on.")
    result = models.JSONField(null=True, blank=True, help_text="See Comparison.as_dict() in core/evaluation.")
    error = models.TextField(blank=True)

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        ordering = ("-requested_at",)
        indexes = (
            models.Index(fields=["-requested_at"], name="comparison_requested_at"),
            models.Index(
                fields=["status", "heartbeat_at"],
                condition=Q(status__in=["queued", "running"]),
                name="comparison_active",
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "succeeded", "failed", "cancelled"]),
                name="comparison_status_known",
            ),
            models.CheckConstraint(condition=Q(size__gte=2), name="comparison_of_two_or_more"),
        )

    def __str__(self) -> str:
        return self.comparison_id

    def compared(self) -> models.QuerySet[PolicyVersion]:
        """Select the compared versions in their order, without what is large.

        Adds `config` and `data`, the config of the run that made the version and the summary of its market.
        """
        versions = PolicyVersion.objects.filter(comparedversion__comparison=self).order_by("comparedversion__place")
        return (
            versions.select_related("policy")
            .defer("evaluation")
            .annotate(config=F("run__config"), data=F("run__market_summary"))
        )


class ComparedVersion(models.Model):
    """A version's place in a comparison, from 0."""

    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE)
    version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT)
    place = models.PositiveSmallIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["comparison", "place"], name="compared_version_one_per_place"),
            models.UniqueConstraint(fields=["comparison", "version"], name="compared_version_once"),
        )

    def __str__(self) -> str:
        return f"{self.comparison}, {self.place}: {self.version}"
