"""Django's authentication by password, with limits of guesses. Every form and program that logs a user in uses it."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from rl_training.accounts import failures, guessing, second_factor
from rl_training.accounts.guessing import Origin

BROWSER_COOKIE = "known_browser"


def origin_of(request: HttpRequest | None) -> Origin:
    """Return where a request comes from. Without a request, as in a command, the origin is unknown."""
    if request is None:
        return Origin()
    browser = request.get_signed_cookie(BROWSER_COOKIE, default="", salt=BROWSER_COOKIE)
    return Origin(request.META.get("REMOTE_ADDR", ""), browser or "")


class LimitedBackend(ModelBackend):
    """Checks passwords, with limits of guesses. The check takes as long for an unknown user as for a known user."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        """Return the user with this name and password, or None. Raises `PermissionDenied` for a refused guess."""
        if username is None or password is None:
            return None
        origin = origin_of(request)
        buckets = guessing.login_buckets(username, origin)
        if wait := guessing.reserve(buckets):
            failures.note("login", username, origin, wait)
            raise PermissionDenied
        user = super().authenticate(request, username, password, **kwargs)
        if user is None:
            failures.note("login", username, origin)
            return None
        guessing.release(buckets)
        return self.get_user(user.pk)

    def get_user(self, user_id: int) -> User | None:
        """Return the user of a session, with the columns of `second_factor.with_need`."""
        user = second_factor.with_need(User.objects.all()).filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None
