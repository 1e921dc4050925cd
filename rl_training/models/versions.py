"""Policy versions: the trained weights."""

from django.db import models
from django.utils import timezone

from rl_training.models.policies import PolicyStore
from rl_training.models.runs import TrainingRun


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

    class Meta:
        ordering = ("-created_at",)
        constraints = (models.UniqueConstraint(fields=["policy", "number"], name="version_number_once_per_policy"),)

    def __str__(self) -> str:
        return f"{self.policy} version {self.number}"
