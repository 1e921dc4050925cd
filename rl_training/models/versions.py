"""Policy versions: the trained weights."""

from __future__ import annotations

from django.apps import apps
from django.db import models
from django.db.models import Exists, OuterRef
from django.utils import timezone

from rl_training.models.policies import PolicyStore
from rl_training.models.runs import TrainingRun


class PolicyVersionQuerySet(models.QuerySet["PolicyVersion"]):
    def kept_for_good(self) -> PolicyVersionQuerySet:
        """Select the versions whose weights and bars are never removed: those that are or were live."""
        deployments = apps.get_model("rl_training", "Deployment")._default_manager
        return self.filter(Exists(deployments.filter(version=OuterRef("pk"))))


class PolicyVersion(models.Model):
    """One set of trained weights of a policy, numbered 1, 2, 3 ... within the policy."""

    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="versions")
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
    artifact = models.CharField(max_length=200, help_text="Folder in the artifact storage.")
    sha256 = models.CharField(max_length=64, help_text="Digest of the weights.")
    evaluation = models.JSONField()

    objects = PolicyVersionQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = (models.UniqueConstraint(fields=["policy", "number"], name="version_number_once_per_policy"),)

    def __str__(self) -> str:
        return f"{self.policy} version {self.number}"
