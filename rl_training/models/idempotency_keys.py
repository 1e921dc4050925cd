"""Idempotency keys with which clients of the API trigger runs."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from rl_training.models.runs import TrainingRun


class IdempotencyKey(models.Model):
    """The key of a request that triggered a run. A repeated request with the key returns the same run."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of the request's body.")
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once_per_user"),)

    def __str__(self) -> str:
        return self.key
