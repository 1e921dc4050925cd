"""API tokens: several for each user, with a name and a time of expiry, stored as digests."""

import secrets
from datetime import datetime, timedelta
from typing import Any

import django.db
import structlog
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone

from rl_training.accounts.models import ApiToken, digest_of

log = structlog.get_logger("accounts")

# Programs that look for secrets in files recognise a token by its prefix.
PREFIX = "qt_"
DEFAULT_DAYS, MOST_DAYS = 365, 3650
# The most tokens of one user that have not expired, so that no user fills the database with tokens.
MOST_TOKENS = 100
# A program that sends a request every second must not cause a write every second.
USE_NOTED_EVERY = timedelta(minutes=1)


def create(user: User, name: str, days: int = DEFAULT_DAYS, *, second_factor: bool) -> tuple[ApiToken, str]:
    """Return a new token's row, and the token itself, which cannot be read again.

    `second_factor` says whether the token may act for a user who needs a second factor.
    Raises `ValidationError` if the user has a token with this name, or `MOST_TOKENS` of them.
    """
    if user.api_tokens.exclude(expires_at__lte=timezone.now()).count() >= MOST_TOKENS:
        raise ValidationError(f"The user has {MOST_TOKENS} tokens. Revoke one first.")
    secret = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken(
        user=user,
        name=name,
        digest=digest_of(secret),
        hint=secret[:8],
        expires_at=timezone.now() + timedelta(days=days),
        second_factor=second_factor,
    )
    token.full_clean()
    token.save()
    return token, secret


def note_use(pk: int, used_before: datetime | None, address: str) -> None:
    """Store when and from where a token is used, at most once a minute. A database error is only logged."""
    now = timezone.now()
    if used_before is not None and used_before > now - USE_NOTED_EVERY:
        return
    unnoted = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
    try:
        ApiToken.objects.filter(unnoted, pk=pk).update(last_used_at=now, last_used_from=address[:45])
    except django.db.Error as error:
        log.warning("The use of a token is not noted", token=pk, error=" ".join(str(error).split()))


class EndWithPassword:
    """A password validator that accepts every password, and revokes a user's tokens when the password is changed.

    Django calls `password_changed` for each change, in forms, commands and programs, but not for a new hash of the same
    password.
    """

    def validate(self, password: str, user: Any = None) -> None:
        """Accept the password."""

    def get_help_text(self) -> str:
        return "A new password revokes all API tokens of the user."

    def password_changed(self, password: str, user: Any = None) -> None:
        ApiToken.objects.filter(user=user).delete()
