"""The page of a policy version."""

from typing import Any

from django.http import Http404

from dashboard.access import Page
from dashboard.charts.evaluations import shown
from dashboard.pages.active_runs import current_stream_id
from rl_training.files.evaluations import complete
from rl_training.models import PolicyVersion
from rl_training.models.columns import large_run_columns
from rl_training.roles import PROPOSE
from rl_training.versions.live import live_now
from rl_training.versions.live_periods import live_periods
from rl_training.versions.proposals import is_proposed


class VersionPage(Page):
    """A policy version and its evaluation on held-out bars."""

    permission_required = "rl_training.view_policyversion"
    template_name = "dashboard/policy/version.html"

    def get_context_data(self, name: str = "", number: int = 0, **kwargs: Any) -> dict[str, Any]:
        # The stream id is read first, so that the page receives every later event.
        after = current_stream_id()
        versions = PolicyVersion.objects.filter(policy__name=name)
        large = [*large_run_columns("run"), "parent__evaluation"]
        related = versions.select_related("policy", "run", "parent").defer(*large)
        version = related.filter(number=number).first()
        if version is None:
            raise Http404(f"There is no version {number} of a policy {name}.")
        return super().get_context_data(
            version=version,
            policy=version.policy,
            after=after,
            evaluation=shown(complete(version)),
            live=live_now(version.policy_id),
            periods=live_periods([version.pk]).get(version.pk, []),
            may_change=self.request.user.has_perm(PROPOSE),
            proposes=is_proposed(self.request.user),
            previous=number - 1,
            next=number + 1 if versions.filter(number=number + 1).exists() else None,
            **kwargs,
        )
