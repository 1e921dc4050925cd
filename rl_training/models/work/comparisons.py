"""Comparisons of policy versions on bars that none of them was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from rl_training.models.runs import new_run_id
from rl_training.models.version_results import MARKET_LENGTH
from rl_training.models.versions import PolicyVersion
from rl_training.models.work.queued_work import QueuedWork, QueuedWorkQuerySet, active_index, work_constraints


class ComparisonQuerySet(QueuedWorkQuerySet["Comparison"]):
    def of_versions(self, versions: Sequence[int]) -> ComparisonQuerySet:
        """Select the comparisons of exactly the versions with these ids, in this order."""
        found = self.filter(size=len(versions))
        for place, version in enumerate(versions):
            places = ComparedVersion.objects.filter(place=place, version=version)
            found = found.filter(pk__in=places.values("comparison"))
        return found


class Comparison(QueuedWork):
    """One comparison of versions. Only `versions/comparisons.py` writes it; a succeeded one never changes."""

    TASK, ID = "rl_training.tasks.compare_versions", "comparison_id"

    comparison_id = models.CharField(max_length=12, unique=True, default=new_run_id, editable=False)
    versions = models.ManyToManyField(PolicyVersion, through="ComparedVersion", related_name="comparisons")
    size = models.PositiveSmallIntegerField(help_text="Number of versions.")
    market = models.CharField(max_length=MARKET_LENGTH, help_text="The market's label.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="The user who requested the comparison; empty for a command.",
    )
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="Time of the first start; the comparison uses the bars until then."
    )
    bars = models.PositiveIntegerField(null=True, blank=True, help_text="Decisions that were compared.")
    bars_first = models.DateTimeField(null=True, blank=True, help_text="The bar of the first decision.")
    bars_last = models.DateTimeField(null=True, blank=True)
    bars_digest = models.CharField(
        max_length=64, blank=True, help_text="Digest of the bars from the first decision on."
    )
    result = models.JSONField(null=True, blank=True, help_text="See Comparison.as_dict() in core/evaluation.")

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        ordering = ("-requested_at",)
        indexes = (
            models.Index(fields=["-requested_at"], name="comparison_requested_at"),
            active_index("comparison"),
        )
        constraints = (
            *work_constraints("comparison"),
            models.CheckConstraint(condition=Q(size__gte=2), name="comparison_of_two_or_more"),
        )

    def compared(self) -> models.QuerySet[PolicyVersion]:
        """Select the compared versions in their order, without large columns.

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
