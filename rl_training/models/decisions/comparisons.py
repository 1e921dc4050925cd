"""Comparisons of two arms on new bars: the test by betting, bar by bar, and the verdicts."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from rl_training.models.decisions.arms import Arm
from rl_training.models.permanent_rows import PermanentRow
from rl_training.models.policies import PolicyStore
from rl_training.models.runs import new_run_id
from rl_training.models.work.trials import Trial


class ArmComparisonQuerySet(models.QuerySet["ArmComparison"]):
    def running(self) -> ArmComparisonQuerySet:
        """Select the comparisons that wait for more bars."""
        return self.filter(status=ArmComparison.Status.RUNNING)

    def shown(self) -> ArmComparisonQuerySet:
        """Select the comparisons with their arms and trials, newest first."""
        arms = (f"{arm}__{name}" for arm in ("a", "b") for name in ("market", "version__policy", "recipe_policy"))
        related = self.select_related("policy", "trial__market", "requested_by", *arms)
        return related.defer("a__version__evaluation", "b__version__evaluation").order_by("-requested_at", "-pk")


class ArmComparison(models.Model):
    """A comparison of the arm B with the arm A of one policy on new bars. Only `decisions/comparing/` writes it.

    The columns from `wealth` on hold the state after the bar `last_bar_at`; see core/evaluation/betting.py.
    """

    class Status(models.TextChoices):
        RUNNING = "running"
        BETTER = "better"  # B is better than A at the level of the trial
        LOST = "lost"  # B lost more than the largest loss in one bar
        ENDED = "ended"  # without a verdict: a user ended the comparison, or an arm ended

    comparison_id = models.CharField(max_length=12, unique=True, default=new_run_id, editable=False)
    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="arm_comparisons")
    a = models.ForeignKey(Arm, on_delete=models.PROTECT, related_name="+")
    b = models.ForeignKey(Arm, on_delete=models.PROTECT, related_name="+")
    trial = models.OneToOneField(Trial, on_delete=models.PROTECT, related_name="arm_comparison")
    largest_loss = models.FloatField(
        help_text="The largest loss of B against A in one bar, in log equity; chosen before the comparison begins."
    )
    floor = models.FloatField(
        default=0.0, help_text="The gain of B over A in each bar that the test asks for, in log equity."
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="The user who requested the comparison; empty for a command.",
    )
    requested_at = models.DateTimeField(
        default=timezone.now, help_text="Time of the request; the comparison uses bars that open later."
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.RUNNING)
    ended_at = models.DateTimeField(null=True, blank=True)
    ending = models.TextField(blank=True, help_text="Why the comparison ended.")
    outcome = models.TextField(blank=True, help_text="What followed from the verdict.")
    wealth = models.JSONField(help_text="The wealth of each stake.")
    evidence = models.FloatField(default=1.0, help_text="K, the mean wealth; 0 once B has lost.")
    bars = models.PositiveIntegerField(default=0, help_text="Bars that were compared.")
    capped = models.PositiveIntegerField(default=0, help_text="Bars with a gain above the largest loss.")
    first_bar_at = models.DateTimeField(
        null=True, blank=True, help_text="The bar at whose close the comparison begins."
    )
    last_bar_at = models.DateTimeField(null=True, blank=True, help_text="The last bar that was compared.")
    a_equity = models.FloatField(null=True, blank=True, help_text="Equity of A at the close of the last bar.")
    b_equity = models.FloatField(null=True, blank=True)

    objects = ArmComparisonQuerySet.as_manager()

    class Meta:
        ordering = ("-requested_at",)
        indexes = (
            models.Index(fields=["-requested_at"], name="arm_comparison_requested_at"),
            models.Index(fields=["policy", "-requested_at"], name="arm_comparison_of_policy"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["a", "b"], condition=Q(status="running"), name="arm_comparison_one_running_of_two_arms"
            ),
            models.CheckConstraint(condition=~Q(a=F("b")), name="arm_comparison_of_two_arms"),
            models.CheckConstraint(
                condition=Q(status="running", ended_at__isnull=True) | (~Q(status="running") & ~Q(ended_at=None)),
                name="arm_comparison_ended_as_its_status",
            ),
        )

    def __str__(self) -> str:
        return self.comparison_id

    @property
    def threshold(self) -> float:
        """The value of K at which B counts as better."""
        return 1.0 / self.trial.level


class ComparedBar(PermanentRow):
    """A bar of a comparison: B's gain on A in this bar, and K after this bar."""

    comparison = models.ForeignKey(
        ArmComparison, on_delete=models.PROTECT, related_name="compared_bars", db_index=False
    )
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField()
    difference = models.FloatField(help_text="The change of B's log equity minus that of A's.")
    evidence = models.FloatField(help_text="K after the bar.")

    class Meta:
        ordering = ("opened_at",)
        constraints = (models.UniqueConstraint(fields=["comparison", "opened_at"], name="compared_bar_once"),)

    def __str__(self) -> str:
        return f"{self.comparison} {self.opened_at:%Y-%m-%d %H:%M:%S}"
