from __future__ import annotations

from urllib.parse import urlsplit

from django.db import models

from rl_training.alerts import encryption, sending


class AlertChannelQuerySet(models.QuerySet["AlertChannel"]):
    def enabled(self) -> AlertChannelQuerySet:
        return self.filter(enabled=True)


class AlertChannel(models.Model):
    """A destination of alert messages: one or several recipients.

    Apprise URLs often hold passwords, so they are stored encrypted and never shown.
    """

    name = models.CharField(max_length=50, unique=True)
    sealed_address = models.TextField(editable=False)
    enabled = models.BooleanField(default=True)
    every_alert = models.BooleanField(
        default=True, help_text="Receives every alert; otherwise only the alerts of rules that name this channel."
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
        """Return the decrypted apprise URLs. Raises `encryption.UnreadableError`."""
        return encryption.decrypt(self.sealed_address)

    @address.setter
    def address(self, url: str) -> None:
        self.sealed_address = encryption.encrypt(url)

    @property
    def masked_address(self) -> str:
        """Return the part of each apprise URL that may be shown: the service's name."""
        try:
            return ", ".join(f"{urlsplit(url).scheme}://..." for url in sending.split(self.address))
        except encryption.UnreadableError as error:
            return str(error)
