"""The resource that lists the slot ledger of a policy."""

from dataclasses import asdict
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.filters import SlotFilters
from dashboard.api.protocol.pagination import CursorPages
from dashboard.api.protocol.views import ListView, policy_pk
from rl_training.models import PolicyStore, SlotOutcome, SlotRange, SlotReason
from rl_training.schedule.ledger import ACTIVE_RUN, COLUMNS, DISABLED, DUE, passing_slots


class Slots(serializers.Serializer):  # type: ignore[type-arg]
    """Successive slots of a policy with the same outcome."""

    first_slot = serializers.DateTimeField()
    last_slot = serializers.DateTimeField()
    slots = serializers.IntegerField(help_text="How many slots.")
    interval_minutes = serializers.IntegerField(help_text="Minutes from one slot to the next.")
    outcome = serializers.ChoiceField(
        choices=SlotOutcome.values,
        help_text="ran: the slot made the run. coalesced: an earlier slot's run stands for these. skipped: no run.",
    )
    reason = serializers.ChoiceField(
        choices=["", *SlotReason.values], help_text="Why the slots made no run of their own."
    )
    detail = serializers.CharField(help_text="The reason in words; for skipped slots, that of the last slot.")
    run_id = serializers.CharField(source="run__run_id", allow_null=True)
    run_status = serializers.CharField(
        source="run__status",
        allow_null=True,
        help_text="Present status of the run: queued, running, succeeded, failed, cancelled.",
    )
    lateness_seconds = serializers.FloatField(
        allow_null=True, help_text="From the slot to the time at which its run was queued; null unless it ran."
    )


PASSING_SCHEMA = {
    "type": ["object", "null"],
    "description": "Slots from `next_run_at` until now. `disabled`: the slots will be skipped, because the policy is "
    "disabled. `active_run`: the slots wait for the end of the active run. `due`: beat has not processed the slots "
    "yet. Null if the next slot is in the future.",
    "required": ["first_slot", "last_slot", "slots", "because", "since"],
    "properties": {
        "first_slot": {"type": "string", "format": "date-time"},
        "last_slot": {"type": "string", "format": "date-time"},
        "slots": {"type": "integer"},
        "because": {"type": "string", "enum": [DISABLED, ACTIVE_RUN, DUE]},
        "since": {"type": ["string", "null"], "format": "date-time", "description": "When the policy was disabled."},
    },
    "additionalProperties": False,
}


class SlotPages(CursorPages):
    """Pages with the further member `passing`: the slots that are not decided yet."""

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = super().get_paginated_response_schema(schema)
        properties = page["properties"] | {"passing": PASSING_SCHEMA}
        return page | {"required": list(properties), "properties": properties}


class SlotList(ListView):
    queryset = SlotRange.objects.values(*COLUMNS)
    serializer_class = Slots
    filterset_class = SlotFilters
    pagination_class = SlotPages
    orderings = ("-first_slot", "first_slot")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_slotrange"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(policy_id=policy_pk(self.kwargs["name"]))

    @extend_schema(
        summary="The outcome of each slot of a policy",
        description="Neighbouring slots with the same outcome share an entry, so a policy that was disabled for a year "
        "has one entry for that year. Each slot is in exactly one entry.",
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        policy = PolicyStore.objects.get(pk=policy_pk(kwargs["name"]))
        # `passing` is read first, so that a slot that is decided in between appears twice rather than not at all.
        passing = passing_slots(policy, timezone.now())
        response = super().get(request, *args, **kwargs)
        response.data["passing"] = asdict(passing) if passing else None
        return response
