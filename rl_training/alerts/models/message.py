from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone

from rl_training.alerts.models.alert import Alert
from rl_training.alerts.models.channel import AlertChannel


class AlertMessageQuerySet(models.QuerySet["AlertMessage"]):
    def waiting(self) -> AlertMessageQuerySet:
        """Filter messages that are neither sent nor given up."""
        return self.filter(sent_at=None, given_up=False)

    def due(self, now: datetime) -> AlertMessageQuerySet:
        """Filter messages whose next try is due; a message that a sender has claimed is not due."""
        return self.waiting().filter(Q(next_try_at__lte=now), channel__enabled=True)


class AlertMessage(models.Model):
    """One message to one channel, which announces that an alert opened or was resolved."""

    class Event(models.TextChoices):
        OPENED = "opened"
        RESOLVED = "resolved"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="messages")
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="messages")
    event = models.CharField(max_length=10, choices=Event)
    created_at = models.DateTimeField(default=timezone.now)
    next_try_at = models.DateTimeField(default=timezone.now)
    taken_by = models.CharField(max_length=32, blank=True, help_text="The id of the last claim of a sending process.")
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


class AlertDelivery(models.Model):
    """A recipient of a message's channel that has received the message. Other recipients are tried again."""

    message = models.ForeignKey(AlertMessage, on_delete=models.CASCADE, related_name="deliveries")
    recipient = models.CharField(max_length=32, help_text="The recipient's fingerprint.")
    sent_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["message", "recipient"], name="delivery_once_per_recipient"),)

    def __str__(self) -> str:
        return f"{self.message} {self.recipient}"
