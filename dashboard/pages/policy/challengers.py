"""Questions about challengers: which arm to open beside the live version, and whether to end an arm."""

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Exists, OuterRef
from django.http import Http404
from django.urls import reverse
from django.utils import timezone

from dashboard.access import VIEW
from dashboard.pages.actions import Action, FormAction
from rl_training.core.market_config import MarketConfig
from rl_training.decisions import challengers
from rl_training.decisions.challengers import ArmRefusedError
from rl_training.models import Arm, PolicyStore, PolicyVersion

OF_DECISIONS = (*VIEW, "rl_training.view_decision", "rl_training.view_arm")
# A form offers this number of versions and of recipes of other policies. The API and the command accept all of them.
OFFERED = 20
# The settings that name the bars of a market that grows.
NAMES_SERIES = {"file": ("path", "symbol"), "exchange": ("exchange", "symbol", "timeframe")}


def choices_of(policy: PolicyStore, *, standard: bool = False) -> list[tuple[str, str]]:
    """Return the arms that a form offers, with their titles; with `standard`, also the arms that every policy has."""
    common, rules = (
        [(kind.value, Arm.Kind(kind).label) for kind in kinds]
        for kinds in (Arm.STANDARD if standard else (), challengers.RULES)
    )
    newest = [(challengers.NEWEST, "newest version of the recipe")]
    recipes = [
        (f"{challengers.NEWEST}:{name}", f"newest version of the recipe of {name}") for name in _on_same_market(policy)
    ]
    numbers = policy.versions.with_weights().order_by("-number").values_list("number", flat=True)[:OFFERED]
    versions = [(f"{policy.name}:{number}", f"version {number}") for number in numbers]
    return [*common, *newest, *versions, *recipes, *rules]


def _on_same_market(policy: PolicyStore) -> list[str]:
    """Return the names of other policies with a version on the same market, however its file is read."""
    market = policy.market
    if not isinstance(market, MarketConfig) or market.source not in NAMES_SERIES:
        return []
    same = {f"market__{name}": getattr(market, name) for name in ("source", *NAMES_SERIES[market.source])}
    trained = Exists(PolicyVersion.objects.filter(policy=OuterRef("pk")))
    others = PolicyStore.objects.exclude(pk=policy.pk).filter(trained, **same).order_by("name")
    return list(others.values_list("name", flat=True)[:OFFERED])


class ArmForm(forms.Form):
    """The arm to open."""

    arm = forms.ChoiceField(
        help_text="The arm decides on each new bar and trades on paper. What is live does not change."
    )

    def __init__(self, policy: PolicyStore, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["arm"].choices = choices_of(policy)  # type: ignore[attr-defined]


class OpenArm(FormAction[ArmForm]):
    permission_required = (*OF_DECISIONS, "rl_training.add_arm")
    yes, no = "Open a challenger", "Not now"

    def question(self) -> str:
        return f"Open a challenger of {self.policy}?"

    def consequence(self) -> str:
        return (
            "The arm's paper account opens flat, at the costs of this policy. The weights of each version that decides "
            f"are kept permanently. A policy has at most {challengers.MOST} challengers."
        )

    def make_form(self, data: Any = None) -> ArmForm:
        return ArmForm(self.policy, data)

    def act(self) -> None:
        by, text = self.request.user.get_username(), self.form.cleaned_data["arm"]
        try:
            arm, opened = challengers.open_arm(self.policy, text, by=by, now=timezone.now())
        except ArmRefusedError as error:
            messages.warning(self.request, f"Nothing was opened: {error}")
            return
        if not opened:
            messages.info(self.request, f"The arm {arm.title} was open already.")
            return
        self.log(f"Opened the arm {arm.name}.")
        messages.success(self.request, f"The arm {arm.title} is open: its first decision is on the next bar.")

    def home(self) -> str:
        return reverse("dashboard:policy-decisions", args=[self.policy.name])


class EndArm(Action):
    permission_required = (*OF_DECISIONS, "rl_training.change_arm")
    yes, no, danger = "End the challenger", "Let it go on", True
    arm: Arm

    def find(self, name: str = "", account: int = 0, **parts: Any) -> None:
        super().find(name)
        found = Arm.objects.filter(policy=self.policy, pk=account).shown().first() if account < 2**63 else None
        if found is None:
            raise Http404("There is no such account.")
        self.arm = found

    def question(self) -> str:
        return f"End the arm {self.arm.title} of {self.policy}?"

    def consequence(self) -> str:
        if self.arm.ended_at is not None:
            return f"The arm has ended already. {self.arm.ending}"
        return "The arm decides no more. Its decisions and its account stay, and the arm can be opened again, flat."

    def act(self) -> None:
        try:
            challengers.end_arm(self.arm, by=self.request.user.get_username(), now=timezone.now())
        except ArmRefusedError as error:
            messages.warning(self.request, f"Nothing was ended: {error}")
            return
        self.log(f"Ended the arm {self.arm.name}.")
        messages.success(self.request, f"The arm {self.arm.title} has ended.")

    def home(self) -> str:
        return reverse("dashboard:policy-decisions", args=[self.policy.name])
