"""Arms: what decides at each bar and has a paper account."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rl_training.models.decisions.markets import FollowedMarket
from rl_training.models.policies import PolicyStore


class Arm(models.Model):
    """What decides at each bar of a market for a policy, with one paper account from its first decision to its last.

    An arm ends, and a new one opens, where the policy's market or trading costs change. Only `decisions/` writes it.
    """

    class Kind(models.TextChoices):
        LIVE = "live", "the live version"
        FLAT = "flat", "flat"
        BUY_AND_HOLD = "buy_and_hold", "buy and hold"

    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="arms")
    kind = models.CharField(max_length=21, choices=Kind)
    market = models.ForeignKey(FollowedMarket, on_delete=models.PROTECT, related_name="arms")
    rules = models.JSONField(help_text="The costs and positions of its account, as in the policy's environment.")
    opened_at = models.DateTimeField()
    opening = models.TextField(help_text="Why it was opened.")
    ended_at = models.DateTimeField(null=True, blank=True)
    ending = models.TextField(blank=True, help_text="Why it ended.")
    error = models.TextField(blank=True, help_text="Why it could not decide the last time; empty when it did.")

    class Meta:
        ordering = ("policy", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=["policy", "kind"], condition=Q(ended_at__isnull=True), name="arm_one_open_per_kind"
            ),
        )

    def __str__(self) -> str:
        return f"{self.policy} {self.kind}"
