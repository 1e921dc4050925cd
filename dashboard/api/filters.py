"""Which rows a list is of."""

from datetime import datetime
from typing import Any

import django_filters.rest_framework as filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters.constants import EMPTY_VALUES
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import NotFound

from dashboard.api.protocol.problem_details import InvalidInput
from dashboard.api.protocol.views import pk_of
from dashboard.timestamps import WANTED, moment_of
from rl_training.alerts.kinds import Kind
from rl_training.alerts.models import Alert
from rl_training.models import TrainingEvent, TrainingRun


class MomentField(forms.CharField):
    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if text in EMPTY_VALUES:
            return None
        try:
            return moment_of(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None


@extend_schema_field({"type": "string", "format": "date-time", "description": WANTED})
class MomentFilter(filters.Filter):
    field_class = MomentField


def of_policy(queryset: QuerySet[Any], _: str, name: str) -> QuerySet[Any]:
    """By the key: a condition on the name would have the database read the runs of all policies in turn."""
    try:
        return queryset.filter(policy_id=pk_of(name))
    except NotFound as error:
        raise InvalidInput({"policy": str(error.detail)}) from None


class RunFilters(filters.FilterSet):
    policy = filters.CharFilter(method=of_policy, help_text="Its name.", max_length=50)
    status = filters.ChoiceFilter(choices=TrainingRun.Status.choices)
    trigger = filters.ChoiceFilter(choices=TrainingRun.Trigger.choices)
    queued_after = MomentFilter("queued_at", "gte")
    queued_before = MomentFilter("queued_at", "lt")
    finished_after = MomentFilter("finished_at", "gte")
    finished_before = MomentFilter("finished_at", "lt")

    class Meta:
        model = TrainingRun
        fields = ()


class EventFilters(filters.FilterSet):
    event_type = filters.CharFilter(max_length=80, help_text="As rl_v3.training.completed.")
    run = filters.CharFilter("run__run_id", max_length=12, help_text="Its run_id.")
    after = MomentFilter("timestamp", "gte")
    before = MomentFilter("timestamp", "lt")

    class Meta:
        model = TrainingEvent
        fields = ()


def in_state(queryset: QuerySet[Any], _: str, state: str) -> QuerySet[Any]:
    match state:
        case "resolved":
            return queryset.filter(resolved_at__isnull=False)
        case "acknowledged":
            return queryset.filter(resolved_at=None, acknowledged_at__isnull=False)
    return queryset.filter(resolved_at=None, acknowledged_at=None)


class AlertFilters(filters.FilterSet):
    policy = filters.CharFilter(method=of_policy, help_text="Its name.", max_length=50)
    kind = filters.ChoiceFilter(choices=Kind.choices)
    state = filters.ChoiceFilter(
        choices=[(name, name) for name in ("open", "acknowledged", "resolved")], method=in_state
    )
    opened_after = MomentFilter("opened_at", "gte")
    opened_before = MomentFilter("opened_at", "lt")

    class Meta:
        model = Alert
        fields = ()


# Django's own takes any text for true or false.
@extend_schema_field({"type": "boolean"})
class TruthFilter(filters.TypedChoiceFilter):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        super().__init__(*args, choices=choices, coerce=lambda text: text == "true", **kwargs)


class PolicyFilters(filters.FilterSet):
    enabled = TruthFilter()
