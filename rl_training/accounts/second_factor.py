"""Second factors: an authenticator app (TOTP) and recovery codes. Users may set them up, and admins may require them.

A login with the password alone starts no session for a user who needs a second factor. Sessions and tokens that began
before the second factor was needed are refused.
"""

import secrets
import string
from typing import Any

import django_otp
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, get_user
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from rl_training.accounts.models import digest_of

# The authentication backend of sessions that began under a release without limits of guesses.
EARLIER_BACKEND = "django.contrib.auth.backends.ModelBackend"
RECOVERY_CODES = 10
# 16 characters out of an alphabet of 32 have 80 bits: too many codes to try, so their fast digests may be stored.
CODE_LENGTH = 16
CODE_CHARACTERS = string.ascii_lowercase + "234567"
# The longest text that a recovery code's row can hold.
DIGEST_LENGTH = 16


def with_need(users: QuerySet[User]) -> QuerySet[User]:
    """Add the columns that `is_needed` reads to the users of a query."""
    devices = TOTPDevice.objects.filter(user=OuterRef("pk"), confirmed=True)
    return users.annotate(factor_required=F("account__second_factor_required"), has_factor=Exists(devices))


def is_required(user: Any) -> bool:
    """Return whether an admin requires a second factor of a user from `with_need`."""
    return bool(user.factor_required)


def is_set_up(user: Any) -> bool:
    """Return whether a user from `with_need` has an authenticator app."""
    return bool(user.has_factor)


def is_needed(user: Any) -> bool:
    """Return whether a user from `with_need` logs in with a second factor."""
    return is_required(user) or is_set_up(user)


def verified(request: HttpRequest) -> Any:
    """Return the user of the session, or an anonymous user if the session lacks the needed second factor."""
    if request.session.get(BACKEND_SESSION_KEY) == EARLIER_BACKEND:
        [request.session[BACKEND_SESSION_KEY]] = settings.AUTHENTICATION_BACKENDS
    user: Any = get_user(request)
    if not user.is_authenticated or not is_needed(user):
        return user
    device = Device.from_persistent_id(request.session.get(django_otp.DEVICE_ID_SESSION_KEY, ""))
    if device is None or not device.confirmed or device.user_id != user.pk:
        return AnonymousUser()
    user.otp_device = device
    return user


class VerifiedUsers(AuthenticationMiddleware):
    """Django's middleware that sets `request.user`, for users who have given all the factors that they need."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: verified(request))  # type: ignore[assignment]


class WrongCodeError(Exception):
    """The code is not one that an authenticator app with this key shows now."""


def set_up(user: User, key: str, code: str) -> tuple[TOTPDevice, list[str]]:
    """Set up an authenticator app with this key, which replaces an earlier app. Return the app and new recovery codes.

    The code proves that the app has the key, and counts as used. Raises `WrongCodeError` and then changes nothing.
    """
    characters = [[secrets.choice(CODE_CHARACTERS) for _ in range(CODE_LENGTH)] for _ in range(RECOVERY_CODES)]
    codes = ["".join(code) for code in characters]
    with transaction.atomic():
        remove(user)
        app = TOTPDevice.objects.create(user=user, name="authenticator app", key=key)
        if not app.verify_token("".join(code.split())):
            raise WrongCodeError
        recovery = StaticDevice.objects.create(user=user, name="recovery codes")
        for code in codes:
            recovery.token_set.create(token=digest_of(code)[:DIGEST_LENGTH])
    return app, codes


def remove(user: User) -> None:
    """Remove the user's second factor. Sessions that used it end, unless the user needs none."""
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()


def match(user: User, code: str) -> Device | None:
    """Return the user's device that accepts the code, or None. A code is accepted once."""
    written = "".join(code.split()).replace("-", "").lower()
    is_of_app = written.isdecimal()
    model, answer = (TOTPDevice, written) if is_of_app else (StaticDevice, digest_of(written)[:DIGEST_LENGTH])
    for device in model.objects.filter(user=user, confirmed=True):
        found = django_otp.verify_token(user, device.persistent_id, answer)
        if found is not None:
            return found
    return None
