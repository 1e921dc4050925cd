"""Notes of `up` on settings that are valid, but weak or probably not intended."""

from collections.abc import Iterator

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from quantum_trader.environment import values

# A random secret with fewer characters can be guessed.
LEAST_CHARACTERS = {"SECRET_KEY": 32, "METRICS_TOKEN": 16}


def start_notes() -> Iterator[str]:
    """Yield a sentence for each setting that is weak or probably not intended. No sentence shows a secret."""
    if settings.NOT_SETTINGS:
        yield f"This system has no settings with these names in .env: {', '.join(settings.NOT_SETTINGS)}."
    if "," in settings.SECRET_KEY:
        yield "SECRET_KEY contains a comma, so it cannot be added to SECRET_KEY_FALLBACKS after a change."
    for name, least in LEAST_CHARACTERS.items():
        if 0 < len(getattr(settings, name)) < least:
            yield f"{name} has fewer than {least} characters, so it can be guessed: use a long random value."
    if reason := _weakness(values.text("ADMIN_PASSWORD"), "admin"):
        yield f"ADMIN_PASSWORD can be guessed: {reason}"
    for user, _, password in (login.partition(":") for login in settings.FLOWER_LOGINS):
        if reason := _weakness(password, user):
            yield f"FLOWER_BASIC_AUTH, the password of {user}, can be guessed: {reason}"
    if not settings.MARKET_DATA_ROOT.is_dir() and values.text("MARKET_DATA_ROOT"):
        yield f"MARKET_DATA_ROOT: there is no folder {settings.MARKET_DATA_ROOT} yet; the first upload makes it."


def _weakness(password: str, user: str) -> str:
    """Return why a form would refuse the password of the user; nothing if it is empty or would be accepted."""
    if not password:
        return ""
    try:
        validate_password(password, User(username=user))
    except ValidationError as error:
        return " ".join(error.messages)
    return ""
