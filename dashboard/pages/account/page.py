"""The *Account* page of every user: roles, API tokens, password and second factor."""

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.generic import TemplateView

from rl_training.accounts import second_factor, tokens
from rl_training.accounts.models import ApiToken

DAYS = ((30, "30 days"), (90, "90 days"), (365, "1 year"))


class TokenForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="What uses the token, such as a machine or a program.")
    days = forms.TypedChoiceField(choices=DAYS, coerce=int, initial=90, label="Expires after")


class AccountPage(LoginRequiredMixin, TemplateView):
    """Shows the user's account. A POST makes a token, which the answer shows once."""

    template_name = "dashboard/account/account.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        user, form = cast(User, request.user), TokenForm(request.POST)
        made = None
        if form.is_valid():
            try:
                # The session of a user who needs a second factor was opened with a second factor.
                factor = second_factor.is_needed(user)
                made = tokens.create(user, form.cleaned_data["name"], form.cleaned_data["days"], second_factor=factor)
            except ValidationError as error:
                form.add_error("name", error.messages[0])
        shown = {"token": made[0], "secret": made[1], "form": TokenForm()} if made else {"form": form}
        return self.render_to_response(self.get_context_data(**shown))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = cast(User, self.request.user)
        shown = {
            "form": TokenForm(),
            "tokens": user.api_tokens.order_by("name"),
            "roles": list(user.groups.order_by("name").values_list("name", flat=True)),
            "factor": second_factor.is_needed(user),
            "factor_required": second_factor.is_required(user),
        }
        return super().get_context_data(**shown | kwargs)


class RevokeToken(LoginRequiredMixin, TemplateView):
    """Asks whether to revoke a token of the user, and revokes the token."""

    template_name = "dashboard/question.html"
    yes, no, danger = "Revoke it", "Keep it", True
    token: ApiToken

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        if request.user.is_authenticated:
            found = ApiToken.objects.filter(user=request.user, pk=kwargs["token_id"]).first()
            if found is None:
                raise Http404("The user has no such token.")
            self.token = found

    def question(self) -> str:
        return f"Revoke the token {self.token.name}?"

    def consequence(self) -> str:
        return "Programs that use the token are refused from then on."

    def back(self) -> str:
        return reverse("account")

    def get_template_names(self) -> list[str]:
        return ["dashboard/question_form.html" if "HX-Request" in self.request.headers else self.template_name]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.token.delete()
        messages.success(request, f"The token {self.token.name} is revoked.")
        return HttpResponseRedirect(self.back())
