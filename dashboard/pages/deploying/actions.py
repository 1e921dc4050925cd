"""Questions that change what is live: promote, pin, unpin, go flat and roll back, each with a reason."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse

from dashboard.access import VIEW
from dashboard.pages.actions import Action
from quantum_trader.text import parse_whole_number
from rl_training.models import Comparison, Deployment, PolicyVersion, Promotion, Proposal
from rl_training.roles import PROPOSE
from rl_training.versions import live, proposals
from rl_training.versions.changes import MAX_REASON, Author, Change, ChangeRefusedError, rollback_target

MAX_KEY = 2**63 - 1
UNTIL = {
    Promotion.VALIDATED: "until the gate promotes a new version",
    Promotion.MANUAL: "until a user changes what is live",
    Promotion.NEWEST: "until the next new version replaces it",
}


class ReasonForm(forms.Form):
    """The reason, and the newest deployment when the page was shown. A newer deployment makes the action fail."""

    reason = forms.CharField(max_length=MAX_REASON, help_text="Stored with the change permanently.")
    seen = forms.IntegerField(min_value=0, max_value=MAX_KEY, widget=forms.HiddenInput)


class ChangeLive(Action):
    """A question about a change of what is live. If the user may not decide alone, the action is a proposal."""

    permission_required = (*VIEW, PROPOSE)
    action: Deployment.Action
    # What the change does, as in "promote version 12 of rl_v3".
    verb = ""
    form: ReasonForm
    current: Deployment | None
    version: PolicyVersion | None = None
    # The evidence, which the page with the link to the question names.
    comparison: Comparison | None = None

    def find(self, name: str = "", number: int | None = None, **parts: Any) -> None:
        super().find(name)
        self.current = live.live_now(self.policy.pk)
        evidence = self.request.POST.get("comparison") or self.request.GET.get("comparison") or ""
        if evidence:
            self.comparison = Comparison.objects.defer("result").filter(comparison_id=evidence).first()
            if self.comparison is None:
                raise Http404("There is no such comparison.")
        if number is not None:
            versions = self.policy.versions.defer("evaluation")
            self.version = versions.filter(number=number).first()
            if self.version is None:
                raise Http404(f"There is no version {number} of {name}.")

    @property
    def proposes(self) -> bool:
        return proposals.is_proposed(self.request.user)

    @property
    def yes(self) -> str:  # type: ignore[override]  # the label depends on the user
        return f"Propose to {self.verb}" if self.proposes else self.verb.capitalize()

    def question(self) -> str:
        what = self.what()
        return f"Propose to {what}?" if self.proposes else f"{what[0].upper()}{what[1:]}?"

    def what(self) -> str:
        """Return the change in words."""
        subject = f" version {self.version.number} of" if self.version else ""
        return f"{self.verb}{subject} {self.policy}"

    def effect(self) -> str:
        """Return what the change does, in sentences."""
        raise NotImplementedError

    def consequence(self) -> str:
        if not self.proposes:
            return self.effect()
        who = "Another user" if self.request.user.has_perm("rl_training.add_deployment") else "An admin"
        return f"{self.effect()} {who} has to approve the change first."

    def reason(self) -> str:
        """Return the reason that the form suggests."""
        return ""

    @property
    def live_number(self) -> int | None:
        return self.current.version.number if self.current and self.current.version else None

    def now(self) -> str:
        return f"Version {self.live_number} is live now." if self.live_number else "Nothing is live now."

    @property
    def until(self) -> str:
        """Return how long the result of this change stays live."""
        return UNTIL[Promotion(self.policy.promotion)]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        initial = {"reason": self.reason(), "seen": self.current.pk if self.current else 0}
        hidden = {"comparison": self.comparison.comparison_id} if self.comparison else {}
        form = kwargs.pop("form", None) or ReasonForm(initial=initial)
        return super().get_context_data(form=form, hidden=hidden, **kwargs)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        self.form = ReasonForm(request.POST)
        if not self.form.is_valid():
            return self.render_to_response(self.get_context_data(form=self.form, **kwargs))
        return super().post(request, **kwargs)

    def change(self, reason: str, seen: int) -> Change:
        return Change(self.action, reason, self.version, seen=seen, comparison=self.comparison)

    def act(self) -> None:
        try:
            change = self.change(self.form.cleaned_data["reason"], self.form.cleaned_data["seen"])
            made = proposals.request(self.policy, change, Author.of(self.request.user))
        except ChangeRefusedError as error:
            messages.warning(self.request, f"Nothing was changed: {error}")
            return
        if isinstance(made, Proposal):
            self.log(f"Proposed to {self.what()}.")
            messages.success(self.request, f"Proposal {made.pk} waits for approval.")
            return
        self.log(f"{live.decided(made).capitalize()}: {made.reason}")
        messages.success(self.request, live.sentence(made))


class Promote(ChangeLive):
    action, verb, no = Deployment.Action.PROMOTE, "promote", "Not now"

    def effect(self) -> str:
        number = self.version.number if self.version else None
        return f"{self.now()} Version {number} decides from then on, {self.until}."


class Pin(ChangeLive):
    action, verb, no = Deployment.Action.PIN, "pin", "Not now"

    def effect(self) -> str:
        number = self.version.number if self.version else None
        return f"{self.now()} Version {number} decides from then on, and automatic promotions leave it live."


class Unpin(ChangeLive):
    action, verb = Deployment.Action.UNPIN, "unpin"

    def effect(self) -> str:
        stays = f"{self.now().removesuffix(' now.')}, and stays so"
        return f"{stays} {self.until}."


class GoFlat(ChangeLive):
    action, verb, danger = Deployment.Action.GO_FLAT, "go flat", True

    def what(self) -> str:
        return f"let {self.policy} go flat"

    def effect(self) -> str:
        return (
            f"{self.now()} From then on nothing is live and the policy holds no position, until a version is promoted. "
            "Automatic promotions leave the policy flat."
        )


class RollBack(ChangeLive):
    action, verb, danger = Deployment.Action.ROLL_BACK, "roll back", True
    to: Deployment | None

    def find(self, name: str = "", number: int | None = None, **parts: Any) -> None:
        super().find(name, number)
        wanted = self.request.POST.get("to") or self.request.GET.get("to") or ""
        if wanted:
            # No deployment has the key 0.
            self.to = live.shown().filter(policy=self.policy, pk=parse_whole_number(wanted) or 0).first()
            if self.to is None:
                raise Http404("There is no such deployment.")
        else:
            self.to = rollback_target(self.policy, self.current.version if self.current else None)

    def target(self) -> str:
        return f"version {self.to.version.number}" if self.to and self.to.version else "flat"

    def effect(self) -> str:
        if self.to is None:
            return f"{self.now()} Nothing else was live before, so a rollback has no target."
        then = f"{self.target().capitalize()} decides" if self.to.version else "Nothing is live"
        then = (
            f"{then} from then on, as from {self.to.at:%Y-%m-%d %H:%M:%S} UTC; automatic promotions do not change this."
        )
        return f"{self.now()} {then}"

    def reason(self) -> str:
        return f"Back from {f'version {self.live_number}' if self.live_number else 'flat'} to {self.target()}."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"hidden": {"to": self.to.pk} if self.to else {}}

    def change(self, reason: str, seen: int) -> Change:
        return Change(self.action, reason, to=self.to, seen=seen)
