"""Filters of the list resources."""

from collections.abc import Iterable, Sequence
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
from dashboard.api.protocol.views import policy_pk
from dashboard.timestamps import WANTED, parse_timestamp
from rl_training.alerts.kinds import Kind
from rl_training.alerts.models import Alert
from rl_training.models import (
    Proposal,
    SlotOutcome,
    SlotRange,
    SlotReason,
    TrainingEvent,
    TrainingRun,
    Trial,
    Validation,
)


class TimestampField(forms.CharField):
    """A form field for RFC 3339 timestamps."""

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if text in EMPTY_VALUES:
            return None
        try:
            return parse_timestamp(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None


@extend_schema_field({"type": "string", "format": "date-time", "description": WANTED})
class TimestampFilter(filters.Filter):
    """A filter by an RFC 3339 timestamp."""

    field_class = TimestampField


def names(choices: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Return the message for a value that is none of the choices."""
    return {"invalid_choice": f"One of {', '.join(value for value, _ in choices)}."}


class OneOfFilter(filters.ChoiceFilter):
    """A filter by one of the choices; the message for another value names them."""

    def __init__(self, *args: Any, choices: Sequence[tuple[Any, Any]], **kwargs: Any) -> None:
        super().__init__(*args, choices=choices, error_messages=names(choices), **kwargs)


def filter_by_policy(queryset: QuerySet[Any], _: str, name: str) -> QuerySet[Any]:
    """Return the rows of the policy called `name`. Raises `InvalidInput` for an unknown policy.

    The condition is on the primary key: with a condition on the name, the database would read the runs of all policies.
    """
    try:
        return queryset.filter(policy_id=policy_pk(name))
    except NotFound as error:
        raise InvalidInput({"policy": str(error.detail)}) from None


class RunFilters(filters.FilterSet):
    policy = filters.CharFilter(method=filter_by_policy, help_text="The policy's name.", max_length=50)
    status = OneOfFilter(choices=TrainingRun.Status.choices)
    trigger = OneOfFilter(choices=TrainingRun.Trigger.choices)
    queued_after = TimestampFilter("queued_at", "gte")
    queued_before = TimestampFilter("queued_at", "lt")
    finished_after = TimestampFilter("finished_at", "gte")
    finished_before = TimestampFilter("finished_at", "lt")

    class Meta:
        model = TrainingRun
        fields = ()


class EventFilters(filters.FilterSet):
    event_type = filters.CharFilter(max_length=80, help_text="For example rl_v3.training.completed.")
    run = filters.CharFilter("run__run_id", max_length=12, help_text="The run_id of the run.")
    after = TimestampFilter("timestamp", "gte")
    before = TimestampFilter("timestamp", "lt")

    class Meta:
        model = TrainingEvent
        fields = ()


def filter_by_state(queryset: QuerySet[Any], _: str, state: str) -> QuerySet[Any]:
    """Return the alerts that are open, acknowledged or resolved; an acknowledged alert does not count as open."""
    match state:
        case "resolved":
            return queryset.filter(resolved_at__isnull=False)
        case "acknowledged":
            return queryset.filter(resolved_at=None, acknowledged_at__isnull=False)
    return queryset.filter(resolved_at=None, acknowledged_at=None)


class AlertFilters(filters.FilterSet):
    policy = filters.CharFilter(method=filter_by_policy, help_text="The policy's name.", max_length=50)
    kind = OneOfFilter(choices=Kind.choices)
    state = OneOfFilter(choices=[(name, name) for name in ("open", "acknowledged", "resolved")], method=filter_by_state)
    opened_after = TimestampFilter("opened_at", "gte")
    opened_before = TimestampFilter("opened_at", "lt")

    class Meta:
        model = Alert
        fields = ()


class ProposalFilters(filters.FilterSet):
    policy = filters.CharFilter(method=filter_by_policy, help_text="The policy's name.", max_length=50)
    status = OneOfFilter(choices=Proposal.Status.choices)

    class Meta:
        model = Proposal
        fields = ()


@extend_schema_field({"type": "boolean"})
class StrictBooleanFilter(filters.TypedChoiceFilter):
    """A filter that accepts only `true` and `false`; Django's form field accepts any text as true or false."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        messages = names(choices)
        super().__init__(*args, choices=choices, coerce=lambda text: text == "true", error_messages=messages, **kwargs)


class ValidationFilters(filters.FilterSet):
    policy = filters.CharFilter(method=filter_by_policy, help_text="The policy's name.", max_length=50)
    status = OneOfFilter(choices=Validation.Status.choices)
    verdict = OneOfFilter(choices=Validation.Verdict.choices)
    recipe = filters.CharFilter(max_length=64, help_text="SHA-256 of the recipe.")

    class Meta:
        model = Validation
        fields = ()


class TrialFilters(filters.FilterSet):
    market_key = filters.CharFilter(
        "market__key", max_length=64, help_text="SHA-256 of the settings that identify the market."
    )
    recipe = filters.CharFilter(max_length=64, help_text="SHA-256 of the recipe.")

    class Meta:
        model = Trial
        fields = ()


class SlotFilters(filters.FilterSet):
    outcome = OneOfFilter(choices=SlotOutcome.choices)
    reason = OneOfFilter(choices=SlotReason.choices)
    after = TimestampFilter("last_slot", "gte")
    before = TimestampFilter("first_slot", "lt")

    class Meta:
        model = SlotRange
        fields = ()


class PolicyFilters(filters.FilterSet):
    enabled = StrictBooleanFilter()
