"""Policy versions: the trained weights, and their results on held-out bars."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Exists, F, OrderBy, OuterRef, Q, Subquery
from django.utils import timezone

from rl_training.models.policies import PolicyStore
from rl_training.models.runs import TrainingRun
from rl_training.models.storage.packed_json import PackedJSONField
from rl_training.models.version_results import MARKET_LENGTH, market_label, results_of

# The columns by which lists of versions can be ordered.
SORTABLE = (
    "created_at",
    "held_out_bars",
    "held_out_return",
    "sharpe",
    "max_drawdown",
    "turnover",
    "time_in_market",
)


class PolicyVersionQuerySet(models.QuerySet["PolicyVersion"]):
    def of_policy(self, policy: int) -> PolicyVersionQuerySet:
        """Select the versions of the policy with this id."""
        return self.filter(policy=policy)

    def in_order(self, column: str, *, descending: bool) -> PolicyVersionQuerySet:
        """Return the versions in the order of a column: versions without a value last, newer versions first if equal.

        `live` orders by the last time at which a version went live.
        """
        name, versions = column, self
        if column == "live":
            deployments = apps.get_model("rl_training", "Deployment")._default_manager.filter(version=OuterRef("pk"))
            newest = Subquery(deployments.order_by("-at").values("at")[:1])
            name, versions = "live_at", self.alias(live_at=newest)
        # Where no value is missing, an index gives the order.
        complete = column != "live" and not self.model._meta.get_field(column).null
        order = OrderBy(F(name), descending=descending, nulls_last=None if complete else True)
        return versions.order_by(order, *([] if column == "number" else ["-number"]))

    def listed(self) -> PolicyVersionQuerySet:
        """Select the versions for a list, without large columns.

        Adds `reward`, the mean reward on training bars of the run that made the version.
        """
        return self.defer("evaluation").annotate(reward=F("run__avg_reward"))

    def of_recipe(self, policy: int | None, recipe: str) -> PolicyVersionQuerySet:
        """Select the versions that the policy with this id made by the recipe with this digest, the newest first."""
        return self.filter(policy=policy, run__recipe=recipe).defer("evaluation").order_by("-number")

    def with_weights(self) -> PolicyVersionQuerySet:
        """Select the versions whose weights were not removed."""
        return self.filter(weights_removed_at__isnull=True)

    def with_files_to_remove(self) -> PolicyVersionQuerySet:
        """Select the versions whose weights count as removed and whose files may still be there."""
        return self.filter(weights_removed_at__isnull=False).exclude(artifact="")

    def kept_for_good(self) -> PolicyVersionQuerySet:
        """Select the versions whose weights and bars are never removed: they are or were live, or were compared.

        Versions with which a challenger decided are kept too, because its account is replayed.

        Every further reason to keep a version for good must be a condition of this query.
        """
        deployments, compared = (
            apps.get_model("rl_training", name)._default_manager.filter(version=OuterRef("pk"))
            for name in ("Deployment", "ComparedVersion")
        )
        return self.filter(Exists(deployments) | Exists(compared) | Q(has_decided=True))


class PolicyVersion(models.Model):
    """One set of trained weights of a policy, numbered 1, 2, 3 ... within the policy.

    The results are copies of values in `evaluation`, set when the version is stored; None if `evaluation` lacks a
    value.
    """

    # The unique constraint below has the index of the policy.
    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    run = models.OneToOneField(TrainingRun, on_delete=models.PROTECT, related_name="version")
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The version that training started from.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    artifact = models.CharField(
        max_length=200, help_text="Folder in the artifact storage; empty after the files were removed."
    )
    weights_removed_at = models.DateTimeField(
        null=True, blank=True, help_text="When retention removed the weights; they cannot be used any more."
    )
    sha256 = models.CharField(max_length=64, help_text="Digest of the weights.")
    # With fewer points in its curves than the artifact has; see files/evaluations.py.
    evaluation = PackedJSONField()
    held_back = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="Why the gate holds the version back; empty if it does not.",
    )
    has_decided = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether a challenger decides, or decided, by the version. Its weights are then kept.",
    )
    market = models.CharField(max_length=MARKET_LENGTH, blank=True, db_default="", help_text="The market's label.")
    held_out_bars = models.PositiveIntegerField(null=True, blank=True, help_text="Decisions on held-out bars.")
    held_out_return = models.FloatField(null=True, blank=True, help_text="Total return on held-out bars.")
    buy_and_hold_return = models.FloatField(
        null=True, blank=True, help_text="Total return of buy and hold on the same bars."
    )
    flat_return = models.FloatField(null=True, blank=True, help_text="Total return of a flat account on the same bars.")
    sharpe = models.FloatField(null=True, blank=True, help_text="Annualised Sharpe ratio on held-out bars.")
    sharpe_low = models.FloatField(null=True, blank=True, help_text="Lower bound of the Sharpe ratio's 95 % interval.")
    sharpe_high = models.FloatField(null=True, blank=True, help_text="Upper bound of the Sharpe ratio's 95 % interval.")
    max_drawdown = models.FloatField(null=True, blank=True, help_text="Maximum drawdown on held-out bars, 0 to 1.")
    turnover = models.FloatField(null=True, blank=True, help_text="Traded notional / equity, summed.")
    time_in_market = models.FloatField(null=True, blank=True, help_text="Share of bars with a position, 0 to 1.")

    objects = PolicyVersionQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        indexes = (
            *(models.Index(fields=["policy", column], name=f"version_{column}") for column in SORTABLE),
            models.Index(
                fields=["policy", "number"], condition=Q(weights_removed_at__isnull=True), name="version_with_weights"
            ),
            models.Index(
                fields=["weights_removed_at"],
                condition=Q(weights_removed_at__isnull=False) & ~Q(artifact=""),
                name="version_files_to_remove",
            ),
        )
        constraints = (models.UniqueConstraint(fields=["policy", "number"], name="version_number_once_per_policy"),)

    def __str__(self) -> str:
        return f"{self.policy} version {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the version. A new version gets its market from its run and its results from its evaluation."""
        if self._state.adding:
            self.market = market_label(self.run.config)
            for column, value in results_of(self.evaluation).items():
                setattr(self, column, value)
        super().save(*args, **kwargs)

    def keep(self) -> bool:
        """Keep the weights for good, in the current transaction; return False if they are removed already."""
        if not self.has_decided:
            kept = PolicyVersion.objects.with_weights().filter(pk=self.pk)
            self.has_decided = bool(kept.update(has_decided=True))
        return self.has_decided
