"""The ledger of trials: how often recipes were tested on each market.

Every further trial makes a success by luck more probable, so each trial may spend less than the trial before.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rl_training.models.permanent_rows import PermanentQuerySet, PermanentRow
from rl_training.models.version_results import MARKET_LENGTH


class TrialMarket(models.Model):
    """A market on which recipes were tried, whichever policies they belong to."""

    key = models.CharField(
        max_length=64, unique=True, help_text="Digest of what names the market; see core/market_config.py."
    )
    label = models.CharField(max_length=MARKET_LENGTH, help_text="The market's label when it was tried first.")
    trials = models.PositiveIntegerField(default=0, help_text="Number of trials.")

    def __str__(self) -> str:
        return self.label


class TrialQuerySet(PermanentQuerySet["Trial"]):
    pass


class Trial(PermanentRow):
    """One trial. Only `validation/trials.py` writes the row, when the trial begins; nothing changes or removes it.

    A trial counts however it ends.
    """

    class Kind(models.TextChoices):
        WALK_FORWARD = "walk_forward"
        COMPARISON = "comparison"  # of arms, on new bars

    market = models.ForeignKey(TrialMarket, on_delete=models.PROTECT, related_name="ledger")
    number = models.PositiveIntegerField(help_text="The trial's number on the market, from 1.")
    kind = models.CharField(max_length=12, choices=Kind)
    recipe = models.CharField(max_length=64, help_text="The recipe's digest.")
    # A name, since the policy may be renamed.
    policy_name = models.CharField(max_length=50)
    alpha = models.FloatField(help_text="What all trials of the market together may spend, PROMOTION_ALPHA.")
    level = models.FloatField(help_text="What this trial may spend.")
    at = models.DateTimeField()

    objects = TrialQuerySet.as_manager()

    class Meta:
        ordering = ("-at",)
        constraints = (
            models.UniqueConstraint(fields=["market", "number"], name="trial_number_once_per_market"),
            models.CheckConstraint(condition=Q(number__gte=1), name="trial_number_from_one"),
        )

    def __str__(self) -> str:
        return f"trial {self.number} on {self.market}"
