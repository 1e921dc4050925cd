"""The pages of the second factor: the code at a login, the set-up, and the removal."""

import secrets
from typing import Any

import django_otp
import segno
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView
from django_otp.plugins.otp_totp.models import TOTPDevice

from dashboard.pages.account.login import pending_user, refused, sign_in, too_many
from rl_training.accounts import failures, guessing, second_factor
from rl_training.accounts.backend import origin_of

KEY_BYTES, SET_UP_WITHIN_SECONDS = 20, 1800
SALT = "second factor"


class CodeForm(forms.Form):
    """A code of the authenticator app, or a recovery code."""

    code = forms.CharField(
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}),
    )


@method_decorator(sensitive_post_parameters(), name="dispatch")
class GuessedCode(FormView):  # type: ignore[type-arg]
    """A page that checks a code of `user`. A wrong code counts as a failed login."""

    form_class = CodeForm
    heading, hint, button = "", "", ""
    template_name = "dashboard/account/code.html"
    user: User

    def accepted(self, device: Any) -> HttpResponse:
        raise NotImplementedError

    def form_valid(self, form: CodeForm) -> HttpResponse:
        origin, name = origin_of(self.request), self.user.get_username()
        buckets = guessing.login_buckets(name, origin)
        if wait := guessing.reserve(buckets):
            failures.note("second factor", name, origin, wait)
            form.add_error(None, too_many(wait))
            return refused(self.form_invalid(form), wait)
        device = second_factor.match(self.user, form.cleaned_data["code"])
        if device is None:
            failures.note("second factor", name, origin)
            form.add_error("code", "The code is not valid. Each code is valid once, for about a minute.")
            return self.form_invalid(form)
        guessing.release(buckets)
        return self.accepted(device)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"next": next_url(self.request)} | kwargs)


class CodePage(GuessedCode):
    """Asks for the code after the password."""

    heading, button = "Second factor", "Sign in"
    hint = "The code that the authenticator app shows now, or one of your recovery codes."

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = pending_user(request)
        if user is None:
            return HttpResponseRedirect(reverse("login"))
        self.user = user
        return super().dispatch(request, *args, **kwargs)

    def accepted(self, device: Any) -> HttpResponse:
        return sign_in(self.request, self.user, next_url(self.request), device)


class RemovePage(GuessedCode):
    """Asks for a code before it removes the second factor."""

    heading, button = "Remove the second factor", "Remove it"
    hint = "A code of the authenticator app or a recovery code. Afterwards, your password alone signs you in."

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return HttpResponseRedirect(reverse("login"))
        self.user = request.user
        if second_factor.is_required(self.user):
            messages.error(request, "An admin requires the second factor. Set up another app to replace it.")
            return HttpResponseRedirect(reverse("account"))
        return super().dispatch(request, *args, **kwargs)

    def accepted(self, device: Any) -> HttpResponse:
        second_factor.remove(self.user)
        messages.success(self.request, "The second factor is removed.")
        return HttpResponseRedirect(reverse("account"))


class SetUpForm(forms.Form):
    """The signed key that the page has shown, and a code that the app makes from the key."""

    key = forms.CharField(widget=forms.HiddenInput)
    code = forms.CharField(
        max_length=10,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
        help_text="The code that the app shows now.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        key = read_key(cleaned.get("key", ""), self.user)
        if key is None:
            raise ValidationError("This page was open for too long. Scan the new picture.")
        return cleaned | {"key": key}


def read_key(signed: str, user: User) -> str | None:
    """Return the key that the page has shown to this user, None if the key is too old or not from this site."""
    try:
        pk, key = signing.loads(signed, salt=SALT, max_age=SET_UP_WITHIN_SECONDS)
    except signing.BadSignature:
        return None
    return str(key) if pk == user.pk else None


@method_decorator(sensitive_post_parameters(), name="dispatch")
class SetUpPage(FormView):  # type: ignore[type-arg]
    """Sets up an authenticator app, for a signed-in user or at a login for which an admin requires an app.

    A user who has an app already must give its code first: otherwise the password would suffice to replace the app.
    """

    template_name = "dashboard/account/set_up.html"
    form_class = SetUpForm
    success_url = reverse_lazy("account")
    user: User

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = request.user if request.user.is_authenticated else pending_user(request)
        if user is None or (not request.user.is_authenticated and second_factor.is_set_up(user)):
            return HttpResponseRedirect(reverse("login"))
        self.user = user
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"user": self.user}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        key = read_key(self.request.POST.get("key", ""), self.user) or secrets.token_hex(KEY_BYTES)
        url = TOTPDevice(user=self.user, key=key).config_url
        shown = {
            "signed": signing.dumps([self.user.pk, key], salt=SALT),
            "secret": url.partition("secret=")[2].partition("&")[0],
            "picture": picture(url),
            "next": next_url(self.request),
        }
        return super().get_context_data(**shown | kwargs)

    def form_valid(self, form: SetUpForm) -> HttpResponse:
        try:
            device, codes = second_factor.set_up(self.user, form.cleaned_data["key"], form.cleaned_data["code"])
        except second_factor.WrongCodeError:
            form.add_error("code", "The app shows another code for this key. Check the time of the phone.")
            return self.form_invalid(form)
        url = next_url(self.request)
        shown = render(self.request, "dashboard/account/recovery_codes.html", {"codes": codes, "next": url})
        if self.request.user.is_authenticated:
            django_otp.login(self.request, device)
        else:
            shown.cookies = sign_in(self.request, self.user, url, device).cookies
        return shown


def picture(url: str) -> SafeString:
    """Return the QR code of a URL as SVG, black on white in every colour scheme."""
    return mark_safe(segno.make(url).svg_inline(scale=4, light="#fff", dark="#000"))  # noqa: S308 - it holds no input


def next_url(request: HttpRequest) -> str:
    """Return the URL of the page that required the login, if it is of this site, or the first page."""
    url = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(url, {request.get_host()}, request.is_secure()):
        return url
    return resolve_url(settings.LOGIN_REDIRECT_URL)
