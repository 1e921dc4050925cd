"""Arms: live versions, rules and challengers, which decide at each bar and have a paper account."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rl_training.models.decisions.markets import FollowedMarket
from rl_training.models.policies import PolicyStore
from rl_training.models.versions import PolicyVersion

# A digest of a recipe.
DIGEST_LENGTH = 64


class ArmQuerySet(models.QuerySet["Arm"]):
    def open(self) -> ArmQuerySet:
        """Select the arms that have not ended."""
        return self.filter(ended_at__isnull=True)

    def challengers(self) -> ArmQuerySet:
        """Select the arms that a user opened."""
        return self.exclude(kind__in=Arm.STANDARD)

    def shown(self) -> ArmQuerySet:
        """Select the arms with what their titles and accounts need."""
        related = self.select_related("market", "policy", "version__policy", "recipe_policy")
        return related.defer("version__evaluation")


class Arm(models.Model):
    """An arm, which decides at each bar of a policy's market and has one paper account for all its decisions.

    Each policy has the arms of STANDARD; users open further arms, the challengers. An arm ends when the policy's market
    or trading costs change; then the arms of STANDARD open anew. Only `decisions/` writes these rows.
    """

    class Kind(models.TextChoices):
        LIVE = "live", "the live version"
        FLAT = "flat", "flat"
        BUY_AND_HOLD = "buy_and_hold", "buy and hold"
        NEWEST = "newest", "newest version of the recipe"
        VERSION = "version", "pinned version"
        LAST_RETURN_FOLLOWED = "last_return_followed", "sign of the last return"
        LAST_RETURN_OPPOSED = "last_return_opposed", "sign of the last return, opposed"
        LAST_20_BARS_FOLLOWED = "last_20_bars_followed", "sign of the last 20 bars' return"

    STANDARD = (Kind.LIVE, Kind.FLAT, Kind.BUY_AND_HOLD)

    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="arms")
    kind = models.CharField(max_length=21, choices=Kind)
    version = models.ForeignKey(
        PolicyVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The version that always decides; only for the kind `version`.",
    )
    recipe_policy = models.ForeignKey(
        PolicyStore,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The policy whose versions decide; only for the kind `newest`.",
    )
    recipe = models.CharField(
        max_length=DIGEST_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text="Digest of the recipe whose newest version decides; only for the kind `newest`.",
    )
    market = models.ForeignKey(FollowedMarket, on_delete=models.PROTECT, related_name="arms")
    rules = models.JSONField(help_text="The costs and positions of the account, as in the policy's environment.")
    opened_at = models.DateTimeField()
    opening = models.TextField(help_text="Why the account was opened.")
    ended_at = models.DateTimeField(null=True, blank=True)
    ending = models.TextField(blank=True, help_text="Why the account ended.")
    error = models.TextField(blank=True, help_text="Why the last decision failed; empty if it was made.")

    objects = ArmQuerySet.as_manager()

    class Meta:
        ordering = ("policy", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=["policy", "kind"],
                condition=Q(ended_at__isnull=True, version__isnull=True, recipe_policy__isnull=True),
                name="arm_one_open_per_kind",
            ),
            models.UniqueConstraint(
                fields=["policy", "version"], condition=Q(ended_at__isnull=True), name="arm_one_open_per_version"
            ),
            models.UniqueConstraint(
                fields=["policy", "recipe_policy", "recipe"],
                condition=Q(ended_at__isnull=True),
                name="arm_one_open_per_recipe",
            ),
            models.CheckConstraint(
                condition=Q(kind="version", version__isnull=False) | (~Q(kind="version") & Q(version__isnull=True)),
                name="arm_version_as_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(kind="newest", recipe_policy__isnull=False)
                | (~Q(kind="newest") & Q(recipe_policy__isnull=True)),
                name="arm_recipe_as_its_kind",
            ),
        )

    def __str__(self) -> str:
        return f"{self.policy} {self.name}"

    @property
    def name(self) -> str:
        """The arm's name in requests: its kind, `newest:POLICY`, or `POLICY:NUMBER` for a pinned version."""
        if self.version:
            return f"{self.version.policy.name}:{self.version.number}"
        return f"newest:{self.recipe_policy.name}" if self.recipe_policy else self.kind

    @property
    def title(self) -> str:
        """The name of the arm in words."""
        if self.version:
            own = "" if self.version.policy_id == self.policy_id else f" of {self.version.policy}"
            return f"version {self.version.number}{own}"
        if self.recipe_policy:
            whose = "the recipe" if self.recipe_policy_id == self.policy_id else f"the recipe of {self.recipe_policy}"
            return f"newest version of {whose}"
        return str(self.get_kind_display())

    @property
    def is_challenger(self) -> bool:
        return self.kind not in self.STANDARD

    @property
    def has_network(self) -> bool:
        """Whether versions decide rather than a rule."""
        return self.kind in (self.Kind.LIVE, self.Kind.NEWEST, self.Kind.VERSION)
