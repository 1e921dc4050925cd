"""Comparisons of arms on new bars: the list, the question, a comparison, and its end."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404
from django.urls import reverse
from django.utils import timezone

from dashboard.access import Page
from dashboard.charts.arm_comparisons import charts_of
from dashboard.pages.actions import Action, FormAction
from dashboard.pages.active_runs import current_stream_id
from dashboard.pages.policy.challengers import OF_DECISIONS, choices_of
from rl_training.core.evaluation.betting import LARGEST_LOSS
from rl_training.decisions.challengers import ArmRefusedError
from rl_training.decisions.comparing import reports, requesting
from rl_training.decisions.comparing.requesting import Wanted
from rl_training.models import ArmComparison, InvalidConfig, PolicyStore
from rl_training.validation import trials
from rl_training.validation.reports import budget

PER_PAGE = 50
VIEW = "rl_training.view_armcomparison"
TRIAL = (
    "B trades beside A on each bar that opens from now on, until K is {threshold:.3g} or B loses too much in one bar. "
    "This is trial {number} on {market}. The trial may spend {level:.2g} of the {remaining:.2g} that is left of "
    "{alpha:g}, and counts whatever its outcome. {consequence}"
)
CONSEQUENCES = {
    "validated": "If A is the live version and B is better, the version of B goes live.",
    "manual": "If A is the live version and B is better, its promotion is proposed.",
    "newest": "What is live stays, whatever the verdict: the policy's promotion is newest.",
}


def page_of(comparison: ArmComparison) -> str:
    """Return the URL of a comparison."""
    return reverse("dashboard:arm-comparison", args=[comparison.comparison_id])


def find(comparison_id: str) -> ArmComparison:
    """Return the comparison, or raise 404."""
    found = ArmComparison.objects.shown().filter(comparison_id=comparison_id).first()
    if found is None:
        raise Http404(f"There is no comparison {comparison_id} on new bars.")
    return found


class ArmComparisonListPage(Page):
    """All comparisons on new bars, newest first."""

    permission_required = VIEW
    template_name = "dashboard/comparisons/of_arms.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = Paginator(ArmComparison.objects.shown(), PER_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(page=page, comparisons=list(page), **kwargs)


class ArmComparisonPage(Page):
    """A comparison on new bars: the answer, the curves, the numbers, and the trial."""

    permission_required = VIEW
    template_name = "dashboard/comparisons/arm_comparison.html"

    def get_context_data(self, comparison_id: str = "", **kwargs: Any) -> dict[str, Any]:
        # The stream id is read first, so that the page receives every later event.
        after = current_stream_id()
        comparison = find(comparison_id)
        found = reports.estimate(comparison)
        again = "HX-Request" in self.request.headers
        return super().get_context_data(
            after=after,
            comparison=comparison,
            running=comparison.status == ArmComparison.Status.RUNNING,
            answer=reports.answer(comparison, found),
            estimate=found,
            mean_bp=None if found.mean is None else 1e4 * found.mean,
            again=again,
            charts={} if again else charts_of(comparison),
            **kwargs,
        )


class ArmComparisonForm(forms.Form):
    """The arms, and the numbers that are fixed beforehand."""

    a = forms.ChoiceField(label="A", initial="live", help_text="What B has to beat.")
    b = forms.ChoiceField(label="B", initial="newest", help_text="An arm that is not open is opened now, flat.")
    largest_loss = forms.FloatField(
        min_value=requesting.SMALLEST_LOSS,
        max_value=1,
        initial=LARGEST_LOSS,
        help_text="A bar in which B loses more against A, in log equity, ends the comparison against B.",
    )
    floor = forms.FloatField(
        min_value=-requesting.LARGEST_FLOOR,
        max_value=requesting.LARGEST_FLOOR,
        initial=0,
        help_text="What B must gain on A in each bar, in log equity.",
    )

    def __init__(self, policy: PolicyStore, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = choices_of(policy, standard=True)
        for name in ("a", "b"):
            self.fields[name].choices = offered  # type: ignore[attr-defined]

    def wanted(self) -> Wanted:
        return Wanted(**self.cleaned_data)


class CompareArms(FormAction[ArmComparisonForm]):
    permission_required = (*OF_DECISIONS, VIEW, "rl_training.add_armcomparison")
    yes, no = "Begin the comparison", "Not now"
    made: ArmComparison | None = None

    def question(self) -> str:
        return f"Compare two arms of {self.policy} on new bars?"

    def consequence(self) -> str:
        market = self.policy.market
        if isinstance(market, InvalidConfig):
            return "The stored market of the policy is invalid."
        alpha = settings.PROMOTION_ALPHA
        left = budget(trials.ledger_key(market), alpha)
        return TRIAL.format(
            number=left["trials"] + 1,
            market=market.label,
            level=left["next_level"],
            threshold=1 / left["next_level"],
            remaining=left["remaining"],
            alpha=alpha,
            consequence=CONSEQUENCES[self.policy.promotion],
        )

    def make_form(self, data: Any = None) -> ArmComparisonForm:
        return ArmComparisonForm(self.policy, data)

    def act(self) -> None:
        user: Any = self.request.user
        try:
            wanted = self.form.wanted()
            self.made = requesting.begin(self.policy, wanted, by=user.get_username(), now=timezone.now(), user=user)
        except ArmRefusedError as error:
            messages.warning(self.request, f"Nothing was begun: {error}")
            return
        self.log(f"Began comparison {self.made} on new bars.")
        messages.success(self.request, f"Comparison {self.made} has begun. It is {self.made.trial}.")

    def back(self) -> str:
        return page_of(self.made) if self.made else super().back()

    def home(self) -> str:
        return reverse("dashboard:policy-decisions", args=[self.policy.name])


class EndArmComparison(Action):
    permission_required = (VIEW, "rl_training.change_armcomparison")
    yes, no, danger = "End the comparison", "Let it go on", True
    comparison: ArmComparison

    def find(self, name: str = "", comparison_id: str = "", **parts: Any) -> None:
        self.comparison = find(comparison_id)
        self.policy = self.comparison.policy

    def question(self) -> str:
        return f"End comparison {self.comparison} of {self.policy}?"

    def consequence(self) -> str:
        if self.comparison.status != ArmComparison.Status.RUNNING:
            return f"The comparison has ended already: {self.comparison.status}."
        return f"The comparison gets no verdict but counts: {self.comparison.trial} has spent its level."

    def act(self) -> None:
        if not requesting.cancel(self.comparison, by=self.request.user.get_username(), now=timezone.now()):
            messages.warning(self.request, f"Nothing to end: comparison {self.comparison} has ended already.")
            return
        self.log(f"Ended comparison {self.comparison} on new bars.")
        messages.success(self.request, f"Comparison {self.comparison} has ended.")

    def home(self) -> str:
        return page_of(self.comparison)
