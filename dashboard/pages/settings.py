"""The page that edits a policy's interval and episodes, with a preview of the effects before saving."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from dashboard.access import VIEW
from dashboard.pages.actions import CHANGE_POLICY, Action
from rl_training.core.config_problems import format_problems
from rl_training.models import PolicyStore
from rl_training.policy_edits import PolicyForm
from rl_training.runs.next_start import NextStart, next_start
from rl_training.schedule import slots
from rl_training.validation import gate

DUE_TIMES = 5


class SettingsForm(PolicyForm):
    """The form of interval and episodes. It refuses an edit of settings that changed after the form was opened."""

    seen = forms.CharField(widget=forms.HiddenInput)

    class Meta(PolicyForm.Meta):
        fields = ("interval_minutes", "episodes_per_run")

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if refused := refusal(self.instance):
            raise ValidationError(refused)
        return cleaned


@dataclass(frozen=True)
class Preview:
    """The effects of saving: name, old and new value of each change, the next due times, and whether a run starts.

    `start` says what the next run starts from, None before the first version, and `expiry` that a validation expires,
    empty if none does.
    """

    changes: list[tuple[str, Any, Any]]
    due: list[datetime]
    sentence: str
    start: NextStart | None
    expiry: str


class SettingsPage(Action):
    permission_required = (*VIEW, CHANGE_POLICY)
    template_name = "dashboard/settings.html"

    def get_template_names(self) -> list[str]:
        return ["dashboard/preview.html" if "HX-Request" in self.request.headers else self.template_name]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = kwargs.pop("form", None) or SettingsForm(instance=self.policy)
        shown = preview(form, self.policy) if not form.is_bound or form.is_valid() else None
        return super().get_context_data(form=form, policy=self.policy, preview=shown, **kwargs)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Save when the form's `action` is save; otherwise (preview, review, edit) show the form again."""
        action = request.POST.get("action")
        with transaction.atomic():
            form = SettingsForm(request.POST, instance=self.policy)
            if action != "save" or not form.is_valid():
                return self.render_to_response(self.get_context_data(form=form, review=action == "review", **kwargs))
            changed = [name for name in form.changed_data if name != "seen"]
            form.save(commit=False).save_settings()
        values = ", ".join(f"{name} {getattr(self.policy, name):,}" for name in changed)
        self.log(f"Changed {values}." if values else "Saved unchanged.")
        messages.success(request, f"Saved: {values}." if values else "Saved; nothing was changed.")
        return HttpResponseRedirect(self.back())


def refusal(policy: PolicyStore) -> str:
    """Return why no edit of the policy can be saved; empty if edits can be saved."""
    problems = format_problems(policy.config_problems)
    return problems and f"The stored settings of this policy are invalid; repair them in the admin first. {problems}"


def preview(form: SettingsForm, policy: PolicyStore) -> Preview:
    """Return the effects of a valid form, or of the stored settings for an unbound form. Changes `policy` in memory."""
    stored = {name: form.get_initial_for_field(form.fields[name], name) for name in SettingsForm.Meta.fields}
    values = {name: form.cleaned_data[name] if form.is_bound else stored[name] for name in stored}
    recipe = gate.recipe_of(PolicyStore.objects.get(pk=policy.pk))
    for name, value in values.items():
        setattr(policy, name, value)
    expiring = gate.expiring(recipe, policy)
    now = timezone.now()
    due = slots.upcoming(policy, now, DUE_TIMES)
    refused = refusal(policy)
    changes = [(name, stored[name], value) for name, value in values.items() if value != stored[name]]
    return Preview(
        changes=changes,
        due=due if policy.enabled and not refused else [],
        sentence=refused or sentence(policy, due[0], now),
        start=next_start(policy),
        expiry=gate.expiry(expiring) if expiring else "",
    )


def sentence(policy: PolicyStore, first: datetime, now: datetime) -> str:
    """Return whether saving starts a run now, in a sentence."""
    if not policy.enabled:
        return "The policy is disabled: saving starts no run."
    if first > now:
        return "Saving starts no run now."
    if policy.runs.active().exists():
        return "Saving starts no run now: a run is queued or running, and the next run follows it."
    return "Saving starts a run now."
