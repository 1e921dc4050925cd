"""The admin page of alert rules: a list by policy, with thresholds and windows."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join

from quantum_trader.web.checked_list import CheckedList
from rl_training.admin.records import PolicyFilter
from rl_training.alerts.kinds import SPECS, Kind
from rl_training.alerts.models import AlertRule
from rl_training.models import PolicyStore


class AlertRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = AlertRule
        fields = ("policy", "kind", "enabled", "threshold", "window", "channels")
        widgets = {"channels": forms.CheckboxSelectMultiple}  # noqa: RUF012

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        spec = SPECS.get(self.instance.kind)
        for name in ("threshold", "window") if spec else ():
            parameter = getattr(spec, name)
            self.fields[name].help_text = (
                f"{str(parameter).capitalize()}." if parameter else "Not used by this kind: leave it empty."
            )
        if "policy" in self.fields:
            # The form shows the names alone.
            names = PolicyStore.objects.all()
            self.fields["policy"].queryset = names  # type: ignore[attr-defined]


class RowForm(forms.ModelForm):  # type: ignore[type-arg]
    """A row of the list: a checkbox that is named after its rule."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["enabled"].widget.attrs["aria-label"] = f"{self.instance} enabled"


@admin.register(AlertRule)
class AlertRuleAdmin(CheckedList, admin.ModelAdmin):  # type: ignore[type-arg]
    form = AlertRuleForm
    list_display = ("kind", "of", "shown_threshold", "shown_window", "enabled", "open_since")
    list_editable = ("enabled",)
    list_filter = (PolicyFilter, "kind", "enabled")
    list_per_page = 50
    search_fields = ("policy__name",)
    actions = ("enable", "disable")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        rules: QuerySet[AlertRule] = super().get_queryset(request)
        return rules.select_related("policy")

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_form(request, form=RowForm, **kwargs)

    def get_fields(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        meaning = "condition" if obj else "conditions"
        return ("policy", "kind", meaning, "enabled", "threshold", "window", "channels")

    def get_readonly_fields(self, request: HttpRequest, obj: AlertRule | None = None) -> Any:
        # A stored alert refers to its rule, so the rule keeps its policy and its kind.
        return ("policy", "kind", "condition") if obj else ("conditions",)

    @admin.display(ordering="policy__name", description="policy")
    def of(self, rule: AlertRule) -> str:
        return rule.policy.name if rule.policy else "the system"

    @admin.display(description="threshold")
    def shown_threshold(self, rule: AlertRule) -> str:
        return f"{rule.effective_threshold:g}" if SPECS[rule.kind].threshold else ""

    @admin.display(description="window")
    def shown_window(self, rule: AlertRule) -> str:
        return f"{rule.effective_window}" if SPECS[rule.kind].window else ""

    @admin.display(description="alert open since")
    def open_since(self, rule: AlertRule) -> str:
        opened = rule.alerts.open().values_list("opened_at", flat=True).first()
        return f"{opened:%Y-%m-%d %H:%M:%S} UTC" if opened else ""

    @admin.display(description="it holds when")
    def condition(self, rule: AlertRule) -> str:
        return SPECS[rule.kind].condition

    @admin.display(description="they hold when")
    def conditions(self, rule: AlertRule) -> str:
        rows = ((Kind(kind).label, spec.condition, _parameters(kind)) for kind, spec in SPECS.items())
        return format_html_join("", "<p><b>{}</b>: {} {}</p>", rows)

    @admin.action(permissions=["change"], description="Enable")
    def enable(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(permissions=["change"], description="Disable")
    def disable(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[AlertRule], *, enabled: bool) -> None:
        word = "enabled" if enabled else "disabled"
        for rule in queryset.filter(enabled=not enabled):
            AlertRule.objects.filter(pk=rule.pk).update(enabled=enabled)
            self.log_change(request, rule, f"{word.capitalize()}.")
        self.message_user(request, f"The rules are {word}.")


def _parameters(kind: str) -> str:
    """Describe the kind's threshold and window for the form."""
    spec = SPECS[kind]
    named = (("Threshold", spec.threshold), ("Window", spec.window))
    return " ".join(f"{name}: {parameter}." for name, parameter in named if parameter)
