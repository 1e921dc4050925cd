from __future__ import annotations

from urllib.parse import urlsplit

from django.db import models

from rl_training.alerts import encryption


class AlertChannelQuerySet(models.QuerySet["AlertChannel"]):
    def enabled(self) -> AlertChannelQuerySet:
        return self.filter(enabled=True)


class AlertChannel(models.Model):
    """A recipient of alert messages. The apprise URL often holds a password: it is stored encrypted and never shown."""

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
        """Return the decrypted apprise URL. Raises `encryption.UnreadableError`."""
        return encryption.decrypt(self.sealed_address)

    @address.setter
    def address(self, url: str) -> None:
        self.sealed_address = encryption.encrypt(url)

    @property
    def masked_address(self) -> str:
        """Return the part of the apprise URL that may be shown: the service's name."""
        try:
            return f"{urlsplit(self.address).scheme}://..."
        except encryption.UnreadableError as error:
            return str(error)
