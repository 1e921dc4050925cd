"""The rows of the alerts: rules, what they found, whom to tell, and what was told."""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from rl_training.alerts import sealing
from rl_training.alerts.kinds import POLICY_KINDS, SPECS, SYSTEM_KINDS, Kind, Parameter
from rl_training.alerts.querysets import AlertChannelQuerySet, AlertMessageQuerySet, AlertQuerySet
from rl_training.models import PolicyStore, TrainingRun


class AlertChannel(models.Model):
    """Whom to tell. The address often holds a password or token: it is stored encrypted and never shown."""

    name = models.CharField(max_length=50, unique=True)
    sealed_address = models.TextField(editable=False)
    enabled = models.BooleanField(default=True)
    every_alert = models.BooleanField(
        default=True, help_text="Told of every alert; otherwise of those whose rule names this channel."
    )
    test_requested_at = models.DateTimeField(null=True, editable=False)
    tested_at = models.DateTimeField(null=True, editable=False)
    test_outcome = models.CharField(max_length=200, blank=True, editable=False)

    objects = AlertChannelQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """The apprise URL. Raises `sealing.UnreadableError`."""
        return sealing.unseal(self.sealed_address)

    @address.setter
    def address(self, url: str) -> None:
        self.sealed_address = sealing.seal(url)

    @property
    def masked_address(self) -> str:
        """What may be shown of the address: the service."""
        try:
            return f"{urlsplit(self.address).scheme}://..."
        except sealing.UnreadableError as error:
            return str(error)


class AlertRule(models.Model):
    """A condition that is watched, of a policy or of the whole system."""

    policy = models.ForeignKey(
        PolicyStore,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="alert_rules",
        help_text="Empty for a rule of the whole system.",
    )
    kind = models.CharField(max_length=20, choices=Kind)
    threshold = models.FloatField(null=True, blank=True, help_text="Empty: the kind's default.")
    window = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the kind's default.")
    enabled = models.BooleanField(default=True, help_text="An open alert of a disabled rule is resolved.")
    channels = models.ManyToManyField(
        AlertChannel, blank=True, help_text="Besides the channels that are told of every alert."
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
        # Not the policy's row: one whose typed columns are invalid cannot be loaded.
        names = PolicyStore.objects.values_list("name", flat=True)
        of = names.get(pk=self.policy_id) if self.policy_id else "system"
        return f"{of}: {self.get_kind_display()}"

    @property
    def effective_threshold(self) -> float:
        return _effective(SPECS[self.kind].threshold, self.threshold)

    @property
    def effective_window(self) -> int:
        return int(_effective(SPECS[self.kind].window, self.window))

    def clean(self) -> None:
        spec = SPECS.get(self.kind)
        if spec is None:
            return  # the field says so
        problems = {}
        for name in ("threshold", "window"):
            value, parameter = getattr(self, name), getattr(spec, name)
            if value is not None and parameter is None:
                problems[name] = f"A rule of this kind has no {name}: leave it empty."
            elif value is not None and not parameter.allows(value):
                problems[name] = f"{value:g} is not {parameter}."
        if problems:
            raise ValidationError(problems)


def _effective(parameter: Parameter | None, value: float | None) -> float:
    return value if value is not None else parameter.default if parameter else 0.0


class Alert(models.Model):
    """One time for which a rule's condition held. Only `lifecycle.py` of this package writes it."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="alerts")
    # As the rule has them: most lists and filters need no more.
    policy = models.ForeignKey(PolicyStore, null=True, blank=True, on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(max_length=20, choices=Kind)
    run = models.ForeignKey(
        TrainingRun,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="The run that made the condition true, where it was one.",
    )
    message = models.TextField(help_text="What was found when it opened.")
    opened_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True, help_text="When the condition was gone.")

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ("-opened_at",)
        indexes = (
            models.Index(fields=["-opened_at"], name="alert_opened_at"),
            models.Index(fields=["policy", "-opened_at"], name="alert_of_policy"),
            models.Index(fields=["kind"], condition=Q(resolved_at=None), name="alert_open"),
        )
        constraints = (
            models.UniqueConstraint(fields=["rule"], condition=Q(resolved_at=None), name="alert_one_open_per_rule"),
        )

    def __str__(self) -> str:
        return self.message

    @property
    def state(self) -> str:
        """`resolved`, `acknowledged` or `open`."""
        if self.resolved_at:
            return "resolved"
        return "acknowledged" if self.acknowledged_at else "open"


class AlertMessage(models.Model):
    """One message to one channel: that an alert opened, or that it is over."""

    class Event(models.TextChoices):
        OPENED = "opened"
        RESOLVED = "resolved"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="messages")
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="messages")
    event = models.CharField(max_length=10, choices=Event)
    created_at = models.DateTimeField(default=timezone.now)
    next_try_at = models.DateTimeField(default=timezone.now)
    taken_by = models.CharField(max_length=32, blank=True, help_text="Whoever tries to send it, or did.")
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up = models.BooleanField(default=False)
    problem = models.CharField(max_length=200, blank=True, help_text="Why the last try failed.")

    objects = AlertMessageQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=["channel", "next_try_at"], condition=Q(sent_at=None, given_up=False), name="message_waiting"
            ),
        )
        constraints = (models.UniqueConstraint(fields=["alert", "channel", "event"], name="message_once_per_channel"),)

    def __str__(self) -> str:
        return f"{self.event} to {self.channel}"


class Round(models.Model):
    """When the rules were last evaluated: one row, which whoever evaluates takes first."""

    began_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"round of {self.began_at}"
