"""The page on which users change their password."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import authenticate
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy

from dashboard.pages.account.login import too_many
from rl_training.accounts import guessing
from rl_training.accounts.backend import origin_of


class LimitedPasswordForm(PasswordChangeForm):
    """Old and new password. A wrong old password is a failed login."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        password, name = str(self.cleaned_data["old_password"]), self.user.get_username()
        if authenticate(self.request, username=name, password=password) is not None:
            return password
        if wait := guessing.seconds_to_wait(guessing.login_buckets(name, origin_of(self.request))):
            raise too_many(wait)
        raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")


class PasswordPage(PasswordChangeView):
    """Changes the password, which revokes the user's API tokens and ends the user's other sessions."""

    form_class = LimitedPasswordForm
    template_name = "dashboard/account/password.html"
    success_url = reverse_lazy("account")

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.success(self.request, "The password is changed. Your API tokens are revoked.")
        return super().form_valid(form)
