"""The event resources: list and read. Events are stored for EVENT_RETENTION_DAYS."""

import uuid
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.filters import EventFilters
from dashboard.api.protocol.fields import StoredObject
from dashboard.api.protocol.views import ListView, View
from rl_training.models import TrainingEvent

COLUMNS = (
    *("pk", "event_id", "event_type", "run__run_id", "deployment", "validation__validation_id"),
    *("arm_comparison__comparison_id", "timestamp", "published_at", "payload"),
)


class Event(serializers.Serializer):  # type: ignore[type-arg]
    """An event of a run, a deployment, a validation, a comparison or a decision. The ids of other subjects are null."""

    event_id = serializers.UUIDField()
    event_type = serializers.CharField(help_text="Also the name of the stream.")
    run_id = serializers.CharField(source="run__run_id", allow_null=True)
    deployment = serializers.IntegerField(allow_null=True)
    validation_id = serializers.CharField(source="validation__validation_id", allow_null=True)
    comparison_id = serializers.CharField(
        source="arm_comparison__comparison_id", allow_null=True, help_text="A comparison on new bars."
    )
    timestamp = serializers.DateTimeField()
    published_at = serializers.DateTimeField(allow_null=True, help_text="Null while the event waits for Redis.")
    payload = StoredObject()


class EventList(ListView):
    queryset = TrainingEvent.objects.values(*COLUMNS)
    serializer_class = Event
    filterset_class = EventFilters
    orderings = ("-timestamp", "timestamp")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_trainingevent"}

    @extend_schema(summary="Events")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class EventView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_trainingevent"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="An event", responses=Event)
    def get(self, request: Request, event_id: uuid.UUID) -> Response:
        row = TrainingEvent.objects.filter(event_id=event_id).values(*COLUMNS).first()
        if row is None:
            raise NotFound(f"There is no event {event_id}.")
        return Response(Event(row).data)
