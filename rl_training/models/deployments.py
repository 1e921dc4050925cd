"""Deployments: what is live, since when, by whom and why. The newest deployment of a policy is in force."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q

from rl_training.models.permanent_rows import PermanentQuerySet, PermanentRow
from rl_training.models.policies import PolicyStore
from rl_training.models.versions import PolicyVersion


class DeploymentQuerySet(PermanentQuerySet["Deployment"]):
    def live_at(self, time: datetime) -> DeploymentQuerySet:
        """Select the deployments that were made at `time` or before. The first one was in force at `time`."""
        return self.filter(at__lte=time).order_by("-at")


class Deployment(PermanentRow):
    """One change of what is live in a policy. Only `versions/` writes these rows; they are never changed or removed."""

    class Action(models.TextChoices):
        PROMOTE = "promote"  # the version is live; a later automatic promotion may replace it
        PIN = "pin"  # the version is live, and automatic promotions leave it so
        UNPIN = "unpin"  # what is live stays; automatic promotions resume
        ROLL_BACK = "roll_back"  # the target of an earlier deployment is live again
        GO_FLAT = "go_flat"  # nothing is live: the policy is flat

    class Actor(models.TextChoices):
        USER = "user"
        COMMAND = "command"
        GATE = "gate"  # the rule of the policy's `promotion`
        GUARD = "guard"  # a rule that protects a paper account
        MIGRATION = "migration"  # an upgrade of this program

    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="deployments")
    action = models.CharField(max_length=10, choices=Action)
    version = models.ForeignKey(
        PolicyVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="deployments",
        help_text="The version that is live from `at` on; empty if the policy is flat.",
    )
    pinned = models.BooleanField(default=False, help_text="Whether automatic promotions leave the version live.")
    at = models.DateTimeField(
        help_text="Time of the change by the database's clock, later than every earlier deployment of the policy."
    )
    actor = models.CharField(max_length=10, choices=Actor)
    actor_name = models.CharField(
        max_length=150, blank=True, help_text="The user's name, which is kept when the user is removed."
    )
    approved_by = models.CharField(
        max_length=310,
        blank=True,
        help_text="The names of the users who approved the proposal; empty without a proposal.",
    )
    reason = models.TextField()
    comparison = models.ForeignKey(
        "rl_training.Comparison",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The comparison that is the evidence, if there is one.",
    )
    arm_comparison = models.ForeignKey(
        "rl_training.ArmComparison",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The comparison on new bars that is the evidence, if there is one.",
    )
    validation = models.ForeignKey(
        "rl_training.Validation",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The validation that is the evidence, if there is one.",
    )
    previous = models.OneToOneField(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="following",
        help_text="The policy's previous deployment.",
    )
    # Without an index: nothing searches by it.
    began = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The earlier deployment since which the same version, or nothing, is live; empty if that changed.",
    )

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ("-at",)
        constraints = (
            models.UniqueConstraint(fields=["policy", "at"], name="deployment_one_at_a_time"),
            models.UniqueConstraint(
                fields=["policy"], condition=Q(previous__isnull=True), name="deployment_one_first_per_policy"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="deployment_has_reason"),
        )

    def __str__(self) -> str:
        return f"{self.policy} {self.action} {self.version.number if self.version else 'flat'}"

    @property
    def origin(self) -> Deployment:
        """The deployment since which this version, or nothing, is live."""
        return self.began or self
