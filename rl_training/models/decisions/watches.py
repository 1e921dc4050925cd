"""The state of the guards that watch the paper account of a live version."""

from __future__ import annotations

from django.db import models

from rl_training.models.decisions.arms import Arm
from rl_training.models.deployments import Deployment

TEN_YEARS_SECONDS = 10 * 365 * 24 * 3600


class Watch(models.Model):
    """The state of the guards of a live arm after the bar `last_bar_at`. Only `decisions/comparing/` writes it.

    The watch begins anew while nothing is live, when a user or a command changes what is live, and after a guard acted.
    """

    arm = models.OneToOneField(Arm, on_delete=models.PROTECT, primary_key=True, related_name="watch")
    last_bar_at = models.DateTimeField()
    equity = models.FloatField(help_text="Equity at the close of the bar.")
    was_live = models.BooleanField(help_text="Whether a version decided at the bar.")
    deployment = models.ForeignKey(
        Deployment,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The deployment of the bar's decision.",
    )
    peak = models.FloatField(help_text="The highest equity since the watch began anew.")
    detector = models.JSONField(help_text="M of each stake; see core/evaluation/betting.py.")
    evidence = models.FloatField(default=0.0, help_text="The mean M of the stakes.")
    bars = models.PositiveIntegerField(default=0, help_text="Bars since the watch began anew.")

    def __str__(self) -> str:
        return f"watch of {self.arm}"

    @property
    def limit(self) -> float:
        """The value of M at which the live version is demoted; by default the number of bars in ten years."""
        return float(self.arm.policy.demotion_bars or TEN_YEARS_SECONDS / max(1, self.arm.market.spacing))

    @property
    def drawdown(self) -> float:
        return 1.0 - self.equity / self.peak
