"""Signing in by a form, which refuses further guesses for a while after several failures."""

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.crypto import get_random_string

from rl_training.accounts import guessing
from rl_training.accounts.backend import BROWSER_COOKIE, origin_of


class LoginForm(AuthenticationForm):
    """Name and password. `wait` is for how many seconds the next guess is refused."""

    wait = 0.0

    def get_invalid_login_error(self) -> ValidationError:
        buckets = guessing.login_buckets(self.cleaned_data.get("username", ""), origin_of(self.request))
        self.wait = guessing.seconds_to_wait(buckets)
        return too_many(self.wait) if self.wait else super().get_invalid_login_error()


def too_many(seconds: float) -> ValidationError:
    """Return the error for a refused guess."""
    wait = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
    return ValidationError(f"Too many failed logins. Try again in {wait}, or ask an admin to unlock the login.")


class LoginPage(LoginView):
    """The login page. A successful login returns to the page that required it."""

    form_class = LoginForm

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        origin = origin_of(self.request)
        if not origin.browser:
            origin = guessing.Origin(origin.address, get_random_string(22))
            set_browser(response, origin.browser)
        guessing.remember(form.get_user().get_username(), origin)
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        return refused(response, form.wait) if isinstance(form, LoginForm) and form.wait else response


def refused(response: HttpResponse, seconds: float) -> HttpResponse:
    """Mark a page as the answer to a refused guess."""
    response.status_code = 429
    response.headers["Retry-After"] = str(int(seconds) + 1)
    return response


def set_browser(response: HttpResponse, browser: str) -> None:
    """Let the browser be known by its cookie, which says nothing about the user."""
    response.set_signed_cookie(
        BROWSER_COOKIE,
        browser,
        salt=BROWSER_COOKIE,
        max_age=int(guessing.KNOWN_FOR.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
