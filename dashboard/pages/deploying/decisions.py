"""Questions that decide a proposal: approve, reject and withdraw."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404

from dashboard.access import VIEW
from dashboard.pages.actions import Action
from rl_training.models import Deployment, Proposal
from rl_training.roles import DEPLOY, PROPOSE
from rl_training.versions import live, proposals
from rl_training.versions.changes import ChangeRefusedError
from rl_training.versions.proposals import NotPermittedError, in_words


class Decide(Action):
    """A question about a waiting proposal."""

    proposal: Proposal

    def find(self, name: str = "", proposal_id: int = 0, **parts: Any) -> None:
        found = Proposal.objects.shown().filter(pk=proposal_id).first()
        if found is None:
            raise Http404("There is no such proposal.")
        self.proposal, self.policy = found, found.policy

    def question(self) -> str:
        return f"{self.yes}: {in_words(self.proposal)} of {self.policy}?"

    def consequence(self) -> str:
        who = live.actor(self.proposal.actor, self.proposal.proposer_name)
        return f"Proposed by {who}: {self.proposal.reason.rstrip('.')}. {self.effect()}"

    def effect(self) -> str:
        """Return what the decision changes, in a sentence."""
        raise NotImplementedError

    def decide(self) -> str:
        """Decide, and return the message for the user."""
        raise NotImplementedError

    def act(self) -> None:
        try:
            messages.success(self.request, self.decide())
        except (ChangeRefusedError, NotPermittedError) as error:
            messages.warning(self.request, f"Nothing was changed: {error}")
            return
        self.log(f"{self.yes} (proposal {self.proposal.pk}).")


class Approve(Decide):
    permission_required = (*VIEW, DEPLOY)
    yes, no = "Approve", "Not now"

    def effect(self) -> str:
        if self.proposal.status != Proposal.Status.WAITING:
            return f"The proposal is {self.proposal.status} already."
        if settings.PROMOTION_NEEDS_TWO and self.proposal.proposer_id == self.request.user.pk:
            return "You have proposed or supported the change, so another user has to approve it."
        return "The change takes effect at once."

    def decide(self) -> str:
        made = proposals.approve(self.proposal, self.request.user)
        if isinstance(made, Deployment):
            return live.sentence(made)
        return "You support this proposal now. A second user has to approve it."


class Reject(Decide):
    permission_required = (*VIEW, DEPLOY)
    yes, no, danger = "Reject", "Not now", True

    def effect(self) -> str:
        return "What is live stays as it is."

    def decide(self) -> str:
        proposals.reject(self.proposal, self.request.user)
        return f"Proposal {self.proposal.pk} is rejected."


class Withdraw(Decide):
    permission_required = (*VIEW, PROPOSE)
    yes, no, danger = "Withdraw", "Keep it", True

    def effect(self) -> str:
        return "What is live stays as it is."

    def decide(self) -> str:
        proposals.withdraw(self.proposal, self.request.user)
        return f"Proposal {self.proposal.pk} is withdrawn."
