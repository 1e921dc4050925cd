"""The alert resources: list, read and acknowledge."""

from typing import Any, ClassVar

import structlog
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.filters import AlertFilters
from dashboard.api.protocol.problem_details import AlertIsOver
from dashboard.api.protocol.views import ListView, View, check_no_body
from rl_training.alerts import state_changes
from rl_training.alerts.kinds import SPECS, Kind, Severity
from rl_training.alerts.models import Alert as AlertRow

log = structlog.get_logger(__name__)

COLUMNS = (
    "pk",
    "kind",
    "policy__name",
    "run__run_id",
    "message",
    "opened_at",
    "acknowledged_at",
    "acknowledged_by__username",
    "resolved_at",
)


class Alert(serializers.Serializer):  # type: ignore[type-arg]
    """A period in which the condition of a rule held."""

    id = serializers.IntegerField(source="pk")
    kind = serializers.ChoiceField(choices=Kind.values)
    severity = serializers.SerializerMethodField(
        help_text="`critical`: the system or its runs fail. `warning`: about the quality of training. `info`: nothing "
        "has to be done."
    )
    policy = serializers.CharField(
        source="policy__name", allow_null=True, help_text="Null if the alert is about the whole system."
    )
    run_id = serializers.CharField(
        source="run__run_id", allow_null=True, help_text="The run that made the condition true; null if no run did."
    )
    message = serializers.CharField(help_text="What was found when the alert opened.")
    opened_at = serializers.DateTimeField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_by = serializers.CharField(source="acknowledged_by__username", allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True, help_text="When the condition ended; null while it holds.")

    def get_severity(self, alert: dict[str, Any]) -> Severity:
        return SPECS[alert["kind"]].severity


class AlertList(ListView):
    queryset = AlertRow.objects.values(*COLUMNS)
    serializer_class = Alert
    filterset_class = AlertFilters
    orderings = ("-opened_at", "opened_at")
    permissions_of_methods: ClassVar = {"GET": "alerts.view_alert"}

    @extend_schema(summary="Alerts")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class AlertView(View):
    permissions_of_methods: ClassVar = {"GET": "alerts.view_alert"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="An alert", responses=Alert)
    def get(self, request: Request, alert_id: int) -> Response:
        return Response(alert_data(alert_id))


class AlertAcknowledge(View):
    permissions_of_methods: ClassVar = {"POST": "alerts.change_alert"}
    problems_of_methods: ClassVar = {"POST": (404, 409, 413, 415)}

    @extend_schema(
        summary="Acknowledge an alert",
        description="Records that a user knows of the alert. Repeating it changes nothing. 409 if the alert is "
        "resolved.",
        request=None,
        responses=Alert,
    )
    def post(self, request: Request, alert_id: int) -> Response:
        check_no_body(request)
        alert = AlertRow.objects.filter(pk=alert_id).first()
        if alert is None:
            raise alert_not_found(alert_id)
        if state_changes.acknowledge(alert, request.user):
            log.info("Alert acknowledged", alert=alert_id, user=str(request.user))
        elif alert.acknowledged_at is None:
            raise AlertIsOver(
                f"Alert {alert_id} is over: its condition ended at {alert.resolved_at:%Y-%m-%d %H:%M:%S} UTC."
            )
        return Response(alert_data(alert_id))


def alert_data(alert_id: int) -> Any:
    """Return the serialized alert. Raises `NotFound`."""
    row = AlertRow.objects.filter(pk=alert_id).values(*COLUMNS).first()
    if row is None:
        raise alert_not_found(alert_id)
    return Alert(row).data


def alert_not_found(alert_id: int) -> NotFound:
    return NotFound(f"There is no alert {alert_id}.")
