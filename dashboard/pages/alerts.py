"""The list of open alerts, and the question whether to acknowledge an alert."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404
from django.urls import reverse

from dashboard.access import VIEW, Page
from dashboard.pages.actions import Action
from rl_training.alerts import state_changes
from rl_training.alerts.models import Alert

ALERTS_PER_PAGE = 50
VIEW_ALERT, CHANGE_ALERT = "alerts.view_alert", "alerts.change_alert"


class AlertListPage(Page):
    """The open alerts of all policies and of the system, acknowledged or not, newest first."""

    permission_required = VIEW_ALERT
    template_name = "dashboard/alerts.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = Paginator(Alert.objects.open().listed(), ALERTS_PER_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(
            page=page, may_acknowledge=self.request.user.has_perms((*VIEW, CHANGE_ALERT)), **kwargs
        )


class AcknowledgeAlert(Action):
    permission_required = (*VIEW, CHANGE_ALERT)
    yes, no = "Acknowledge", "Not now"
    alert: Alert

    def find(self, name: str = "", alert_id: int = 0, **parts: Any) -> None:
        found = Alert.objects.listed().filter(pk=alert_id).first()
        if found is None:
            raise Http404("There is no such alert.")
        self.alert = found

    def question(self) -> str:
        return "Acknowledge this alert?"

    def consequence(self) -> str:
        if self.alert.state != "open":
            return f"The alert is {self.alert.state} already: {self.alert}"
        effect = "The overview stops showing the alert. It resolves by itself once its condition no longer holds."
        return f"{effect} {described(self.alert)}"

    def home(self) -> str:
        return reverse("dashboard:alerts")

    def act(self) -> None:
        if not state_changes.acknowledge(self.alert, self.request.user):
            messages.info(self.request, f"Not acknowledged, it is {self.alert.state} already: {self.alert}")
            return
        self.log("Acknowledged.", self.alert)
        messages.success(self.request, f"Acknowledged: {self.alert}")


def described(alert: Alert) -> str:
    """Return the alert's message, preceded by the name of its policy."""
    return f"Alert of {alert.policy.name}: {alert}" if alert.policy else f"Alert: {alert}"
