"""Signing in by a form, which refuses further guesses for a while after several failures.

The password of a user who needs a second factor starts no session: it only opens the page that asks for the code.
"""

import time
from typing import Any

import django_otp
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.crypto import constant_time_compare, get_random_string
from django.utils.http import urlencode

from rl_training.accounts import guessing, second_factor
from rl_training.accounts.backend import BROWSER_COOKIE, LimitedBackend, origin_of
from rl_training.core.words import count_of

BACKEND = f"{LimitedBackend.__module__}.{LimitedBackend.__name__}"
# The session's entry between the password and the code: the user, the hash of the password, and the time.
PENDING, PENDING_SECONDS = "pending_login", 600


class LoginForm(AuthenticationForm):
    """Name and password. `wait` is the number of seconds for which the next guess is refused."""

    wait = 0.0

    def get_invalid_login_error(self) -> ValidationError:
        buckets = guessing.login_buckets(self.cleaned_data.get("username", ""), origin_of(self.request))
        self.wait = guessing.seconds_to_wait(buckets)
        return too_many(self.wait) if self.wait else super().get_invalid_login_error()


def too_many(seconds: float) -> ValidationError:
    """Return the error for a refused guess."""
    wait = count_of(seconds, "second") if seconds < 120 else count_of(seconds / 60, "minute")
    return ValidationError(f"Too many failed logins. Try again in {wait}, or ask an admin to unlock the login.")


class LoginPage(LoginView):
    """The login page. A successful login returns to the page that required it."""

    form_class = LoginForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        user = form.get_user()
        if not second_factor.is_needed(user):
            return sign_in(self.request, user, self.get_success_url())
        # Another user may know the session's key, so the session that sets up a second factor gets a new key.
        self.request.session.cycle_key()
        self.request.session[PENDING] = {"user": user.pk, "hash": user.get_session_auth_hash(), "at": time.time()}
        page = "login-code" if second_factor.is_set_up(user) else "second-factor"
        return HttpResponseRedirect(f"{reverse(page)}?{urlencode({'next': self.get_success_url()})}")

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        return refused(response, form.wait) if isinstance(form, LoginForm) and form.wait else response


def pending_user(request: HttpRequest) -> User | None:
    """Return the user who gave the password in the last minutes and must still give a code."""
    pending: dict[str, Any] = request.session.get(PENDING, {})
    if not pending or not 0 <= time.time() - pending["at"] < PENDING_SECONDS:
        return None
    user = LimitedBackend().get_user(pending["user"])
    if user is None or not constant_time_compare(pending["hash"], user.get_session_auth_hash()):
        return None
    return user


def sign_in(request: HttpRequest, user: User, url: str, device: Any = None) -> HttpResponse:
    """Start the session of a user who has given all factors, and return the redirection to the URL."""
    request.session.pop(PENDING, None)
    login(request, user, BACKEND)
    if device is not None:
        django_otp.login(request, device)
    response = HttpResponseRedirect(url)
    origin = origin_of(request)
    if not origin.browser:
        origin = guessing.Origin(origin.address, get_random_string(22))
        set_browser(response, origin.browser)
    guessing.remember(user.get_username(), origin)
    return response


def refused(response: HttpResponse, seconds: float) -> HttpResponse:
    """Mark a page as the answer to a refused guess."""
    response.status_code = 429
    response.headers["Retry-After"] = str(int(seconds) + 1)
    return response


def set_browser(response: HttpResponse, browser: str) -> None:
    """Set the cookie by which a login recognises the browser. The cookie says nothing about the user."""
    response.set_signed_cookie(
        BROWSER_COOKIE,
        browser,
        salt=BROWSER_COOKIE,
        max_age=int(guessing.KNOWN_FOR.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
