"""The tables of logins: failed ones, the places that users are known at, API tokens, and rules for users."""

import hashlib
from typing import Any

from django.contrib.auth.models import User
from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.utils import timezone

MAX_NAME_LENGTH = 150


class FailedLogins(models.Model):
    """Failed logins that count together, and until when further logins are refused. Deleting the row unlocks them."""

    class Kind(models.TextChoices):
        USER = "user", "a user, from places where the user is not known"
        PLACE = "place", "a user, at a place where the user is known"
        ADDRESS = "address", "an address, as any user"
        TOKENS = "tokens", "an address, with API tokens"

    kind = models.CharField(max_length=10, choices=Kind)
    user = models.CharField(
        max_length=MAX_NAME_LENGTH, blank=True, help_text="The name as it was typed, in lower case."
    )
    place = models.CharField(max_length=64, blank=True, help_text="A network, or a browser.")
    failures = models.PositiveIntegerField(default=0)
    last_failure_at = models.DateTimeField(db_index=True)
    refused_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-last_failure_at",)
        verbose_name = verbose_name_plural = "failed logins"
        constraints = (models.UniqueConstraint(fields=["kind", "user", "place"], name="failed_logins_once"),)

    def __str__(self) -> str:
        return " at ".join(filter(None, (self.user, self.place)))


class KnownPlace(models.Model):
    """A network or a browser from which a user has logged in. Failures elsewhere do not lock the user out there."""

    user = models.CharField(max_length=MAX_NAME_LENGTH, help_text="The user's name in lower case.")
    place = models.CharField(
        max_length=64, help_text="An IPv4 address, or the first 64 bits of an IPv6 address such as 2001:db8:0:1::/64."
    )
    last_used_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("user", "-last_used_at")
        constraints = (models.UniqueConstraint(fields=["user", "place"], name="known_place_once"),)

    def __str__(self) -> str:
        return f"{self.user} at {self.place}"


def digest_of(secret: str) -> str:
    """Return the digest under which a token is stored.

    A fast hash suffices, because a token is random and too long to try all tokens.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


class ApiToken(models.Model):
    """A token with which a program acts as a user. The database holds its digest only."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=8, editable=False, help_text="The token's first characters.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    last_used_from = models.CharField(max_length=45, blank=True)
    second_factor = models.BooleanField(
        default=False, help_text="Whether a login with a second factor, or a command, created the token."
    )

    class Meta:
        ordering = ("user__username", "name")
        verbose_name = "API token"
        constraints = (
            models.UniqueConstraint(
                fields=["user", "name"],
                name="token_name_once_per_user",
                violation_error_message="The user has a token with this name.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class Account(models.Model):
    """The rules of a user's logins that Django's own user lacks."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="account")
    second_factor_required = models.BooleanField(
        default=False, help_text="The user must log in with a second factor, and sets it up at the next login."
    )

    class Meta:
        ordering = ("user__username",)

    def __str__(self) -> str:
        return str(self.user)


@receiver(post_save, sender=User, dispatch_uid="accounts.add_account")
def add_account_of_new_user(instance: User, created: bool, raw: bool = False, **_: Any) -> None:
    if created and not raw:
        Account.objects.get_or_create(user=instance)
