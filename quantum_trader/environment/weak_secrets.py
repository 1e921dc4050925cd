"""Secrets that are valid, but can be guessed. The process that uses a secret reports it at its start."""

from collections.abc import Iterator

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

# A random secret with fewer characters can be guessed.
LEAST_CHARACTERS = {"SECRET_KEY": 32, "METRICS_TOKEN": 16}


def weak_secrets() -> Iterator[str]:
    """Yield a sentence for each weak secret of the pages and the API. No sentence shows a secret."""
    for name, least in LEAST_CHARACTERS.items():
        if 0 < len(getattr(settings, name)) < least:
            yield f"{name} has fewer than {least} characters, so it can be guessed: use a long random value."


def weak_logins() -> Iterator[str]:
    """Yield a sentence for each login of Flower whose password is weak. No sentence shows a password."""
    for user, _, password in (login.partition(":") for login in settings.FLOWER_LOGINS):
        if reason := weakness(password, user):
            yield f"FLOWER_BASIC_AUTH, the password of {user}, can be guessed: {reason}"


def weakness(password: str, user: str) -> str:
    """Return why a form would refuse the password of the user; nothing if it is empty or would be accepted."""
    if not password:
        return ""
    try:
        validate_password(password, User(username=user))
    except ValidationError as error:
        return " ".join(error.messages)
    return ""
