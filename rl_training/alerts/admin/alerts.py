"""The admin page of alerts: users read and acknowledge them."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from rl_training.admin.display import EMPTY, admin_link, preformatted, run_link, time_column
from rl_training.admin.records import PolicyFilter, ReadOnlyAdmin
from rl_training.alerts import state_changes
from rl_training.alerts.models import Alert
from rl_training.core.words import count_of


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("unacknowledged", "open, not acknowledged"), ("resolved", "resolved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "open":
                return queryset.filter(resolved_at=None)
            case "unacknowledged":
                return queryset.filter(resolved_at=None, acknowledged_at=None)
            case "resolved":
                return queryset.filter(resolved_at__isnull=False)
        return queryset


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("kind", "severity", "of", "message", "state", "opened", "resolved", "acknowledged")
    list_filter = (StateFilter, "kind", PolicyFilter)
    search_fields = ("message",)
    date_hierarchy = "opened_at"
    actions = ("acknowledge",)
    fields = (
        "kind",
        "severity",
        "of",
        "state",
        "shown_message",
        "about",
        "opened",
        "resolved",
        "acknowledged",
        "deliveries",
    )

    opened = time_column("opened_at")
    resolved = time_column("resolved_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        return Alert.objects.listed()

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("alerts.change_alert")

    @admin.action(permissions=["acknowledge"], description="Acknowledge")
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        for alert in queryset:
            if state_changes.acknowledge(alert, request.user):
                self.log_change(request, alert, "Acknowledged.")
                self.message_user(request, f"Acknowledged: {alert}")
            else:
                self.message_user(request, f"Not acknowledged, it is {alert.state} already: {alert}", messages.WARNING)

    @admin.display(ordering="policy__name", description="policy")
    def of(self, alert: Alert) -> str | SafeString:
        policy = alert.policy
        return admin_link("policystore", policy.pk, policy.name) if policy else "the system"

    @admin.display(description="message")
    def shown_message(self, alert: Alert) -> str | SafeString:
        return preformatted(alert.message)

    @admin.display(description="run")
    def about(self, alert: Alert) -> str | SafeString:
        return run_link(alert.run) if alert.run else EMPTY

    @admin.display(ordering="acknowledged_at")
    def acknowledged(self, alert: Alert) -> str:
        if alert.acknowledged_at is None:
            return EMPTY
        return f"{alert.acknowledged_at:%Y-%m-%d %H:%M:%S} by {alert.acknowledged_by or 'a deleted user'}"

    @admin.display(description="messages")
    def deliveries(self, alert: Alert) -> str | SafeString:
        rows = (
            (message.event, message.channel, _delivery(message))
            for message in alert.messages.select_related("channel").order_by("pk")
        )
        return format_html_join("", "<p>{} to {}: {}</p>", rows) or "to no channel"


def _delivery(message: Any) -> str:
    if message.sent_at:
        return f"sent {message.sent_at:%Y-%m-%d %H:%M:%S}"
    what = "given up" if message.given_up else "waiting"
    return f"{what} after {count_of(message.attempts, 'attempt')}{': ' if message.problem else ''}{message.problem}"
