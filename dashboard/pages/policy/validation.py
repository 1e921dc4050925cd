"""The tab *Validation* of a policy: whether retraining its recipe works."""

from typing import Any

from dashboard.access import VIEW
from dashboard.pages.policy.tabs import PolicyTab
from dashboard.pages.validating.shown import budget_of, consequence, progress_of, results_of, verdict
from rl_training.models import InvalidConfigError, Validation
from rl_training.validation import gate, reports

LISTED = 20


class PolicyValidationPage(PolicyTab):
    """The verdict on the recipe, the walk-forward behind it, the trials on the market, and earlier walk-forwards."""

    permission_required = (*VIEW, "rl_training.view_validation")
    template_name = "dashboard/policy/validation.html"
    tab = "policy-validation"

    def content(self, policy: Any, again: bool) -> dict[str, Any]:
        standing = gate.standing_of(policy)
        listed = list(
            Validation.objects.listed().filter(policy=policy).select_related("requested_by", "monitored")[:LISTED]
        )
        failed = listed[0] if listed and listed[0].status == Validation.Status.FAILED else None
        # A result is large, so only that of the shown walk-forward is read.
        active, judged = standing.active, standing.validation
        found = {
            "standing": standing,
            "verdict": verdict(standing),
            "consequence": consequence(policy, standing),
            "running": reports.answer(active) if active else "",
            "failed": failed,
            "budget": budget_of(policy),
            "validations": listed,
            "estimate": _estimate(policy),
        }
        if current := active or judged:
            found |= progress_of(current)
        return found if again or judged is None else found | results_of(judged)


def _estimate(policy: Any) -> float | None:
    try:
        return reports.estimated_seconds(policy)
    except InvalidConfigError:
        return None
