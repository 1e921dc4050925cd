"""The page with every change of what is live in a policy, and with the answer to what was live at a time."""

from datetime import timedelta
from typing import Any

from django import forms
from django.http import Http404
from django.utils import timezone

from dashboard.access import VIEW, Page
from dashboard.pages.active_runs import current_stream_id
from dashboard.pages.deploying.shown import answer, history, live_context
from quantum_trader.text import parse_whole_number
from rl_training.models import PolicyStore

DEPLOYMENTS_PER_PAGE = 50


class TimeForm(forms.Form):
    """A time in UTC, by default yesterday at noon."""

    at = forms.DateTimeField(
        label="What was live at (UTC)", widget=forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M")
    )

    def __init__(self, data: Any = None) -> None:
        noon = timezone.now().replace(hour=12, minute=0) - timedelta(days=1)
        super().__init__(data, initial={"at": noon})


class DeploymentsPage(Page):
    permission_required = (*VIEW, "rl_training.view_deployment")
    template_name = "dashboard/deploying/deployments.html"

    def get_context_data(self, name: str = "", **kwargs: Any) -> dict[str, Any]:
        # The stream id is read first, so that the page receives every later event.
        after = current_stream_id()
        policy = PolicyStore.objects.filter(name=name).first()
        if policy is None:
            raise Http404("There is no such policy.")
        form = TimeForm(self.request.GET) if "at" in self.request.GET else TimeForm()
        found = form.cleaned_data["at"] if form.is_bound and form.is_valid() else None
        return super().get_context_data(
            after=after,
            policy=policy,
            time_form=form,
            answer=answer(policy, found) if found else None,
            **live_context(policy, self.request.user) | self.listed(policy),
            **kwargs,
        )

    def listed(self, policy: PolicyStore) -> dict[str, Any]:
        """Return a page of the newest deployments, or of the deployments before the id `before`."""
        rows = history(policy)
        before = parse_whole_number(self.request.GET.get("before", ""))
        if before is not None:
            last = policy.deployments.filter(pk=before).values_list("at", flat=True).first()
            rows = rows.filter(at__lt=last) if last else rows.none()
        shown = list(rows[: DEPLOYMENTS_PER_PAGE + 1])
        more = shown[DEPLOYMENTS_PER_PAGE - 1].pk if len(shown) > DEPLOYMENTS_PER_PAGE else None
        return {"deployments": shown[:DEPLOYMENTS_PER_PAGE], "earlier_page": more}
