"""The markets whose new bars are decided on, and these bars as they came."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from rl_training.models.version_results import MARKET_LENGTH


class FollowedMarketQuerySet(models.QuerySet["FollowedMarket"]):
    def due(self, now: datetime) -> FollowedMarketQuerySet:
        """Select the markets whose next bar is expected by now, or whose source is due again after a failed reading."""
        return self.filter(due_at__lte=now)


class FollowedMarket(models.Model):
    """A market that grows. Policies with the same market settings and columns share it. Only `decisions/` writes it."""

    identity = models.CharField(
        max_length=64, unique=True, help_text="Digest of the settings that decide which bars the market has."
    )
    config = models.JSONField(help_text="The market settings of the first policy that followed the market.")
    columns = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Names of the file's further columns that the bars have, in order.",
    )
    label = models.CharField(max_length=MARKET_LENGTH, help_text="The market's label.")
    spacing = models.PositiveIntegerField(
        default=0, help_text="Seconds from a bar to the next bar; 0 while no bars are known."
    )
    newest_at = models.DateTimeField(null=True, blank=True, help_text="When the newest known bar opened.")
    grew_at = models.DateTimeField(null=True, blank=True, help_text="When a new bar was last seen.")
    revised_at = models.DateTimeField(null=True, blank=True, help_text="When a changed bar was last seen.")
    read_at = models.DateTimeField(null=True, blank=True, help_text="When the source last answered.")
    due_at = models.DateTimeField(default=timezone.now, help_text="When the source is read next.")
    failures = models.PositiveIntegerField(
        default=0, help_text="Number of failed readings since the last successful reading."
    )
    failing_since = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, help_text="Why the last reading failed; empty if it succeeded.")

    objects = FollowedMarketQuerySet.as_manager()

    class Meta:
        ordering = ("label", "pk")
        indexes = (models.Index(fields=["due_at"], name="market_due"),)

    def __str__(self) -> str:
        return self.label

    @property
    def bar_length(self) -> timedelta:
        return timedelta(seconds=self.spacing)


class MarketBar(models.Model):
    """A bar of a followed market as it came.

    Bars with revision 0 came in the order of time, and arms decide on them. A bar that changed, came late or
    disappeared gets a further row. The ids of a market's rows follow the order in which the rows were stored.
    """

    market = models.ForeignKey(FollowedMarket, on_delete=models.PROTECT, related_name="bars", db_index=False)
    opened_at = models.DateTimeField()
    revision = models.PositiveSmallIntegerField(default=0)
    open = models.FloatField()
    high = models.FloatField()
    low = models.FloatField()
    close = models.FloatField()
    volume = models.FloatField(null=True, blank=True, help_text="Null if the source has no volume.")
    own = models.BinaryField(
        null=True,
        blank=True,
        help_text="Values of the market's further columns as little-endian float64; null if there are none.",
    )
    removed = models.BooleanField(default=False, help_text="Whether the source no longer has the bar.")
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("opened_at", "revision")
        constraints = (models.UniqueConstraint(fields=["market", "opened_at", "revision"], name="bar_revision_once"),)

    def __str__(self) -> str:
        return f"{self.market} {self.opened_at:%Y-%m-%d %H:%M:%S}, revision {self.revision}"

    def is_revised(self) -> bool:
        """Return whether this bar or an earlier bar has changed since this bar came."""
        later = MarketBar.objects.filter(market=self.market_id, pk__gt=self.pk, revision__gt=0)
        return later.filter(opened_at__lte=self.opened_at).exists()
