"""Who changed which setting of a policy when, and back to how it was."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from pydantic import BaseModel
from simple_history.admin import SimpleHistoryAdmin

from rl_training.core.config import SECTIONS
from rl_training.models import PolicyStore


class PolicyHistoryAdmin(SimpleHistoryAdmin):
    """History by setting. An entry that today's schema refuses is still shown; it cannot be reverted to."""

    object_history_list_template = "rl_training/policy_history_list.html"

    def get_history_queryset(
        self, request: HttpRequest, history_manager: Any, pk_name: str, object_id: Any
    ) -> QuerySet[Any]:
        entries: QuerySet[Any] = super().get_history_queryset(request, history_manager, pk_name, object_id)
        return entries.defer(*SECTIONS)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        check_number(object_id)
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def set_history_delta_changes(
        self, request: HttpRequest, historical_records: Sequence[Any], foreign_keys_are_objs: bool = True
    ) -> None:
        entries = list(historical_records)
        columns = PolicyStore.history.filter(pk__in=[entry.pk for entry in entries])
        settings = {row["history_id"]: by_key(row) for row in columns.values("history_id", *PolicyStore.SETTINGS)}
        for newer, older in pairwise(entries):
            newer.history_delta_changes = changes(settings[older.pk], settings[newer.pk])

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        check_number(object_id)
        # simple_history lets whoever may view save, too.
        if request.method == "POST" and not self.has_change_permission(request):
            raise PermissionDenied
        check_number(version_id)
        try:
            with transaction.atomic():
                response: HttpResponse = super().history_form_view(request, object_id, version_id, extra_context)
        except ValidationError as error:
            self.message_user(request, f"These settings are not valid any more: {error.messages[0]}", messages.ERROR)
            return redirect("admin:rl_training_policystore_history", object_id)
        return response


def check_number(text: str) -> None:
    """Of a row, as an address gives it; anything else is none that there is."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise Http404(f"There is no {text}.")


def by_key(row: dict[str, Any]) -> dict[str, Any]:
    """The settings of a row of `values()` by key: `enabled`, `ppo.gamma` ..."""
    found: dict[str, Any] = {}
    for name in PolicyStore.SETTINGS:
        value = row[name].model_dump(mode="json") if isinstance(row[name], BaseModel) else row[name]
        if name in SECTIONS and isinstance(value, dict):
            found |= {f"{name}.{field}": setting for field, setting in value.items()}
        else:
            found[name] = value
    return found


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """What differs, as the template of the history lists it."""
    return [
        {"field": key, "old": old.get(key), "new": new.get(key)}
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
