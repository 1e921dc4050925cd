"""Decisions: the target position that an arm chose at the close of a bar, and its paper account at this time."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db import models
from django.db.models import OuterRef, Q, Subquery

from rl_training.models.decisions.arms import Arm
from rl_training.models.decisions.markets import MarketBar
from rl_training.models.deployments import Deployment
from rl_training.models.permanent_rows import PermanentQuerySet, PermanentRow
from rl_training.models.policies import PolicyStore
from rl_training.models.versions import PolicyVersion


class DecisionQuerySet(PermanentQuerySet["Decision"]):
    def newest_of(self, arms: Collection[int]) -> dict[int, Decision]:
        """Return the newest decision of each of the arms with these ids, by the arm's id, in one query."""
        own = Decision.objects.filter(policy=OuterRef("policy"), arm=OuterRef("pk")).order_by("-bar_opened_at")
        newest = Arm.objects.filter(pk__in=arms).order_by().values(newest=Subquery(own.values("pk")[:1]))
        return {decision.arm_id: decision for decision in self.filter(pk__in=newest)}


class Decision(PermanentRow):
    """The target position that an arm chose at the close of one bar. Only `decisions/` writes it; it never changes.

    The columns of the account hold its state at the close of the bar. It trades to `target_position` at the next open.
    """

    decision_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="+", db_index=False)
    arm = models.ForeignKey(Arm, on_delete=models.PROTECT, related_name="decisions", db_index=False)
    bar = models.ForeignKey(MarketBar, on_delete=models.PROTECT, related_name="+", db_index=False)
    bar_opened_at = models.DateTimeField()
    bar_closed_at = models.DateTimeField()
    decided_at = models.DateTimeField()
    valid_until = models.DateTimeField(help_text="The decision is not to be used after this time.")
    version = models.ForeignKey(
        PolicyVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    weights_sha256 = models.CharField(max_length=64, blank=True)
    trained_until = models.DateTimeField(null=True, blank=True, help_text="The last bar that the version knows.")
    deployment = models.ForeignKey(
        Deployment,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The deployment that made the version live; empty for other arms than the live arm.",
    )
    target_position = models.FloatField(
        help_text="The position to hold, as a fraction of equity, from the next bar's open on."
    )
    previous_target = models.FloatField(help_text="The target that the account last traded to.")
    probabilities = models.JSONField(
        null=True, blank=True, help_text="The probability of each position; empty for a rule."
    )
    value = models.FloatField(null=True, blank=True, help_text="The critic's value of the observation.")
    observation = models.BinaryField(help_text="The observation as little-endian float32; empty for a rule.")
    observation_sha256 = models.CharField(max_length=64, blank=True)
    bars_digest = models.CharField(max_length=64, help_text="Digest of the bars that the decision saw.")
    equity = models.FloatField(help_text="Equity at the close of the bar, in multiples of the initial equity.")
    cash = models.FloatField()
    units = models.FloatField()
    entry_equity = models.FloatField(help_text="Equity just after the last trade.")
    peak = models.FloatField(help_text="The highest equity at a close so far.")
    enabled = models.BooleanField(default=True, help_text="Whether the policy was enabled, that is trained.")
    note = models.TextField(blank=True, help_text="What happened since the previous decision, in words.")

    objects = DecisionQuerySet.as_manager()

    class Meta:
        ordering = ("-bar_opened_at",)
        # Retention looks for rows that refer to a version before it removes the version.
        indexes = (models.Index(fields=["version"], condition=Q(version__isnull=False), name="decision_of_version"),)
        constraints = (
            models.UniqueConstraint(fields=["policy", "arm", "bar_opened_at"], name="decision_once_per_arm_and_bar"),
        )

    def __str__(self) -> str:
        return f"{self.arm} {self.bar_opened_at:%Y-%m-%d %H:%M:%S} {self.target_position:g}"
