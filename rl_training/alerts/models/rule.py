from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

from rl_training.alerts.kinds import POLICY_KINDS, SPECS, SYSTEM_KINDS, Kind
from rl_training.alerts.models.channel import AlertChannel
from rl_training.models import PolicyStore


class AlertRule(models.Model):
    """A condition of one policy or of the whole system, which the process `alerts` checks every ten seconds."""

    policy = models.ForeignKey(
        PolicyStore,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="alert_rules",
        help_text="Empty for a rule of the whole system.",
    )
    kind = models.CharField(max_length=20, choices=Kind)
    threshold = models.FloatField(null=True, blank=True, help_text="Leave empty for the kind's default.")
    window = models.PositiveIntegerField(null=True, blank=True, help_text="Leave empty for the kind's default.")
    enabled = models.BooleanField(default=True, help_text="An open alert of a disabled rule is resolved.")
    channels = models.ManyToManyField(
        AlertChannel, blank=True, help_text="In addition to the channels that receive every alert."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("policy__name", "kind")
        constraints = (
            models.UniqueConstraint(
                fields=["policy", "kind"],
                name="rule_once_per_policy",
                violation_error_message="The policy has a rule of this kind.",
            ),
            models.UniqueConstraint(
                fields=["kind"],
                condition=Q(policy=None),
                name="rule_once_in_system",
                violation_error_message="There is a rule of this kind.",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=SYSTEM_KINDS, policy=None) | Q(kind__in=POLICY_KINDS, policy__isnull=False),
                name="rule_policy_as_its_kind",
                violation_error_message="policy: a rule of the system has none, any other has one.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.policy or 'system'}: {self.get_kind_display()}"

    @property
    def effective_threshold(self) -> float:
        return SPECS[self.kind].effective_threshold(self.threshold)

    @property
    def effective_window(self) -> int:
        return SPECS[self.kind].effective_window(self.window)

    def clean(self) -> None:
        spec = SPECS.get(self.kind)
        if spec is None:
            return  # The field `kind` has its own error.
        problems = {}
        for name in ("threshold", "window"):
            value, parameter = getattr(self, name), getattr(spec, name)
            if value is not None and parameter is None:
                problems[name] = f"A rule of this kind has no {name}: leave it empty."
            elif value is not None and not parameter.allows(value):
                problems[name] = f"{value:g} is not {parameter}."
        if problems:
            raise ValidationError(problems)


def add_default_rules(policy: PolicyStore) -> None:
    """Add a rule of each kind that the policy has no rule of yet."""
    rules = [AlertRule(policy=policy, kind=kind) for kind in POLICY_KINDS]
    AlertRule.objects.bulk_create(rules, ignore_conflicts=True)


@receiver(post_save, sender=PolicyStore, dispatch_uid="alerts.add_rules")
def add_rules_of_new_policy(instance: PolicyStore, created: bool, raw: bool = False, **_: Any) -> None:
    """Add the default rules to a new policy. A policy that is loaded from a fixture brings its own rules."""
    if created and not raw:
        add_default_rules(instance)
