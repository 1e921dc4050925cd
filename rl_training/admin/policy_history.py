"""The history of a policy's settings in the admin: who changed which setting when, and a form to revert to an entry."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin

from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import format_problems
from rl_training.flat_settings import differences, settings_by_key
from rl_training.models import InvalidConfig, PolicyStore
from rl_training.models.columns import OUTCOME_COLUMNS


class PolicyHistoryAdmin(SimpleHistoryAdmin):
    """Lists the changes setting by setting. Reverting to an entry repairs its invalid configs."""

    object_history_list_template = "rl_training/policy_history_list.html"

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        check_number(object_id)
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def set_history_delta_changes(
        self, request: HttpRequest, historical_records: Sequence[Any], foreign_keys_are_objs: bool = True
    ) -> None:
        for newer, older in pairwise(historical_records):
            newer.history_delta_changes = differences(settings_by_key(older), settings_by_key(newer))

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        check_number(object_id)
        # simple_history would let users save who have only the permission to view.
        if request.method == "POST" and not self.has_change_permission(request):
            raise PermissionDenied
        check_number(version_id)
        with transaction.atomic():
            response: HttpResponse = super().history_form_view(request, object_id, version_id, extra_context)
        return response

    def render_history_view(
        self, request: HttpRequest, template: str, context: dict[str, Any], **kwargs: Any
    ) -> HttpResponse:
        if "original" in context:
            add_outcome(context["original"])
        if request.method == "GET" and "original" in context:
            for name, problems in invalid_configs(context["original"]):
                self.message_user(
                    request,
                    f"The {name} of this entry is no longer valid: {problems}. The form shows defaults in place of "
                    "invalid settings.",
                    messages.ERROR,
                )
        response: HttpResponse = super().render_history_view(request, template, context, **kwargs)
        return response


def invalid_configs(policy: PolicyStore) -> list[tuple[str, str]]:
    """Return the name of each config of `policy` that is invalid, with its problems as text."""
    configs = {name: getattr(policy, name) for name in SECTIONS}
    return [
        (name, format_problems(config.problems))
        for name, config in configs.items()
        if isinstance(config, InvalidConfig)
    ]


def add_outcome(policy: Any) -> None:
    """Add the columns of `with_last_run()` to the policy of an entry, which has only its settings."""
    present = PolicyStore.objects.with_last_run().filter(pk=policy.pk).values(*OUTCOME_COLUMNS).first()
    for name in OUTCOME_COLUMNS:
        setattr(policy, name, present[name] if present else None)


def check_number(text: str) -> None:
    """Raise 404 unless `text`, from a URL, can be the id of a row."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Http404(f"There is no {text}.")
