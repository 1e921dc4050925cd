"""The page that makes a new policy with the settings of another."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from dashboard.access import VIEW
from dashboard.pages.actions import Action
from rl_training.models import PolicyStore
from rl_training.settings_change import SettingsRefusedError, create


class DuplicateForm(forms.Form):
    name = forms.CharField(
        max_length=PolicyStore._meta.get_field("name").max_length,
        help_text=PolicyStore._meta.get_field("name").help_text,
    )


class DuplicatePage(Action):
    permission_required = (*VIEW, "rl_training.add_policystore")
    template_name = "dashboard/duplicate.html"

    def get_template_names(self) -> list[str]:
        return [self.template_name]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"form": DuplicateForm(), "policy": self.policy} | kwargs)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        form = DuplicateForm(request.POST)
        if form.is_valid():
            try:
                made = create(form.cleaned_data["name"], {}, like=self.policy, user=request.user)
            except SettingsRefusedError as error:
                for setting, message in error.errors.items():
                    form.add_error(*(("name", message) if setting == "name" else (None, f"{setting}: {message}")))
            else:
                text = f"Created with the settings of {self.policy}."
                LogEntry.objects.log_actions(str(request.user.pk), [made], ADDITION, text, single_object=True)
                messages.success(request, f"{made} has the settings of {self.policy} and is disabled.")
                return HttpResponseRedirect(reverse("dashboard:policy", args=[made.name]))
        return self.render_to_response(self.get_context_data(form=form, **kwargs))
