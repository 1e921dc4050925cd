"""Policies in the admin: lists and edits them, starts runs, and enables and disables their schedules."""

import re
from collections.abc import Sequence
from typing import Any

from csp.decorators import csp_update
from django.contrib import admin, messages
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil

from quantum_trader.web.checked_list import CheckedList
from rl_training.admin.display import EMPTY, outcome
from rl_training.admin.policy_form import PolicyStoreForm
from rl_training.admin.policy_history import PolicyHistoryAdmin, invalid_configs
from rl_training.admin.train_now import TrainNowAction
from rl_training.models import PolicyStore
from rl_training.policy_edits import set_enabled
from rl_training.runs.next_start import next_start
from rl_training.settings_change import CHANGEABLE, RESERVED, keep_reserved, may_change_reserved
from rl_training.trainable import device_warning

SCHEDULE = ("name", "enabled", "interval_minutes", "episodes_per_run", "min_new_bars")
VERSIONS = ("start_from", "seeds", "promotion", "must_beat", "revalidate_days")
GUARDS = ("fallback", "demotion_bars", "drawdown_limit")
LIMITS = ("stall_limit_minutes", "run_limit_minutes")
STATE = ("next_due", "last_outcome", "runs_finished", "schedule_error")


# The editor of the config draws its icons from `data:` URLs.
with_icons = csp_update({"img-src": "data:"})


@admin.register(PolicyStore)
@method_decorator(with_icons, name="changeform_view")
@method_decorator(with_icons, name="history_form_view")
class PolicyStoreAdmin(CheckedList, TrainNowAction, PolicyHistoryAdmin):
    form = PolicyStoreForm
    list_display = (
        "name",
        "enabled",
        "last_outcome",
        "next_due",
        "interval",
        "episodes",
        "runs_finished",
        "schedule_error",
    )
    list_filter = ("enabled",)
    search_fields = ("name",)
    actions = ("train_now", "enable", "disable", "duplicate")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PolicyStore]:
        return PolicyStore.objects.with_last_run()

    def get_fieldsets(self, request: HttpRequest, obj: PolicyStore | None = None) -> list[tuple[str, dict[str, Any]]]:
        editable = self.has_change_permission(request, obj)
        return [
            (
                "Schedule",
                {
                    "fields": (
                        *SCHEDULE,
                        *(STATE if obj else ()),
                        *(("seen", "from_scratch", "expires") if obj and editable else ()),
                    )
                },
            ),
            ("Versions", {"fields": VERSIONS}),
            ("Guards of the live version", {"fields": GUARDS}),
            ("Limits of a run", {"fields": LIMITS}),
            ("Market", {"fields": ("market",)}),
            ("Environment", {"fields": ("environment",)}),
            ("PPO", {"fields": ("ppo",)}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: PolicyStore | None = None) -> Sequence[str]:
        # The name is part of the policy's streams, keys and URLs, which others may use already.
        fixed = ("name",) if obj else ()
        return (*STATE, *fixed, *(() if may_change_reserved(request.user) else RESERVED))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the settings of the policy whose id is the parameter `like`; the copy starts disabled."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        like = request.GET.get("like", "")
        found = PolicyStore.objects.filter(pk=like).first() if re.fullmatch(r"[0-9]{1,18}", like) else None
        if found is not None and self.has_view_permission(request, found):
            initial |= {name: getattr(found, name) for name in CHANGEABLE} | {"enabled": False}
        return initial

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except IntegrityError:
            # Another request took the name after the form was validated, such as a second click on Save.
            response = super().changeform_view(request, *args, **kwargs)
        return response

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        if context["original"] is not None and request.method == "GET":
            for name, problems in invalid_configs(context["original"]):
                self.message_user(
                    request,
                    f"The stored {name} is invalid, and no run can start: {problems}. The form shows "
                    "defaults in place of invalid settings; saving the form repairs the policy.",
                    messages.ERROR,
                )
        response: HttpResponse = super().render_change_form(request, context, **kwargs)
        return response

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj._history_user = request.user
        # The form lacks the reserved settings, but an entry of the history or a copied policy may bring other values.
        keep_reserved(obj, request.user)
        if change:
            obj.save_settings()
            start = next_start(obj)
            if start and start.is_unusual:
                self.message_user(request, str(start), messages.WARNING)
        else:
            obj.save()
        if warning := device_warning(obj.ppo):
            self.message_user(request, warning, messages.WARNING)

    def get_deleted_objects(
        self, objs: QuerySet[PolicyStore] | Sequence[PolicyStore], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        # Django would load all runs, perhaps a hundred thousand, before it refuses the deletion.
        kept = [f"{policy} has training runs; disable it instead" for policy in objs if policy.runs.exists()]
        kept += [f"{policy} has validations; disable it instead" for policy in objs if policy.validations.exists()]
        if kept:
            return [], {}, set(), kept
        # A policy's alert rules are deleted with the policy. Django would load and list all alerts of these rules.
        return [f"{policy}, with the rules of its alerts" for policy in objs], {"policies": len(objs)}, set(), []

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[PolicyStore]) -> None:
        with transaction.atomic():
            for policy in queryset:
                self.delete_model(request, policy)

    @admin.display(ordering="next_run_at")
    def next_due(self, policy: Any) -> str | SafeString:
        if not policy.enabled:
            return "not while disabled"
        when = f"{policy.next_run_at:%Y-%m-%d %H:%M:%S} UTC"
        relative = f"in {timeuntil(policy.next_run_at)}"
        if policy.next_run_at <= timezone.now():
            relative = "after the active run" if policy.active_status else "now"
        return format_html('<span title="{}">{}</span>', when, relative)

    @admin.display(ordering="last_finished_at", description="last run")
    def last_outcome(self, policy: Any) -> str | SafeString:
        if policy.last_status is None:
            return policy.active_status or EMPTY
        title = policy.last_error or f"{policy.last_finished_at:%Y-%m-%d %H:%M:%S} UTC"
        return format_html(
            "{} {} ago{}",
            outcome(policy.last_status, policy.last_status, title),
            timesince(policy.last_finished_at),
            f"; {policy.active_status} now" if policy.active_status else "",
        )

    @admin.display(description="finished runs", ordering="total_runs")
    def runs_finished(self, policy: PolicyStore) -> str:
        return f"{policy.succeeded_runs:,} of {policy.total_runs:,} succeeded" if policy.total_runs else "none"

    @admin.display(description="interval", ordering="interval_minutes")
    def interval(self, policy: PolicyStore) -> str:
        return f"{policy.interval_minutes:,} min"

    @admin.display(description="episodes", ordering="episodes_per_run")
    def episodes(self, policy: PolicyStore) -> str:
        return f"{policy.episodes_per_run:,}"

    @admin.action(permissions=["change"], description="Enable")
    def enable(self, request: HttpRequest, queryset: QuerySet[PolicyStore]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(permissions=["change"], description="Disable")
    def disable(self, request: HttpRequest, queryset: QuerySet[PolicyStore]) -> None:
        self._switch(request, queryset, enabled=False)

    @admin.action(permissions=["add"], description="Duplicate")
    def duplicate(self, request: HttpRequest, queryset: QuerySet[PolicyStore]) -> HttpResponse | None:
        policies = list(queryset[:2])
        if len(policies) != 1:
            self.message_user(request, "Select one policy to duplicate.", messages.WARNING)
            return None
        return redirect(f"{reverse('admin:rl_training_policystore_add')}?like={policies[0].pk}")

    def _switch(self, request: HttpRequest, queryset: QuerySet[PolicyStore], *, enabled: bool) -> None:
        word = "enabled" if enabled else "disabled"
        for policy in queryset.filter(enabled=not enabled):
            set_enabled(policy, enabled, request.user)
            self.log_change(request, policy, f"{word.capitalize()}.")
            self.message_user(request, f"Policy {policy} is {word}.")
