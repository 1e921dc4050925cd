"""The tab *Runs* of a policy: how training is going."""

from typing import Any

from django.utils import timezone

from dashboard.charts.policies import charts_of
from dashboard.pages.policy.tabs import PolicyTab
from rl_training.models import TrainingRun
from rl_training.schedule.ledger import passing_slots

RUNS_LISTED = 10
RANGES_LISTED = 10


class PolicyRunsPage(PolicyTab):
    """The last runs of a policy, their charts, and the outcome of each slot."""

    template_name = "dashboard/policy/runs.html"
    tab = "policy-runs"

    def content(self, policy: Any, again: bool) -> dict[str, Any]:
        found = {
            "runs": list(TrainingRun.objects.recent(policy)[:RUNS_LISTED]),
            "passing": passing_slots(policy, timezone.now()),
            "slots": list(policy.slots.listed()[:RANGES_LISTED]),
        }
        return found if again else found | {"charts": charts_of(policy.name)}
