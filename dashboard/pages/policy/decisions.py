"""The tab *Decisions* of a policy: what was decided, and whether the account was kept exactly."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from django import forms
from django.utils import timezone
from pydantic import ValidationError

from dashboard.charts.decisions import equity
from dashboard.pages.policy.tabs import PolicyTab
from rl_training.core.config import EnvironmentConfig
from rl_training.core.trading.features import ACCOUNT_OBSERVATIONS, feature_names
from rl_training.decisions.accounts import PaperAccount, accounts_of
from rl_training.decisions.answers import Answer, NoDecisionError, current
from rl_training.decisions.comparing.reports import guards
from rl_training.decisions.markets import grows
from rl_training.decisions.standing import position_in_words, since, standings
from rl_training.models import ArmComparison, Decision, PolicyStore, TrainingRun

LISTED, COMPARISONS = 50, 5


@dataclass(frozen=True)
class Reasons:
    """The probability of each position in a decision, and the values of its observation with their names."""

    probabilities: list[tuple[str, float]]
    observation: list[tuple[str, float]]


class Before(forms.Form):
    """The time in the URL before which the list begins."""

    before = forms.DateTimeField(required=False)


class DecisionsPage(PolicyTab):
    """The position now with its reasons, the equity of all accounts, and the decisions."""

    permission_required = ("rl_training.view_policystore", "rl_training.view_decision", "rl_training.view_arm")
    template_name = "dashboard/policy/decisions.html"
    tab = "policy-decisions"

    def content(self, policy: Any, again: bool) -> dict[str, Any]:
        now = timezone.now()
        answer, refusal = _answer(policy)
        standing = standings([policy.pk], now).get(policy.pk)
        newest = standing.decision if standing else None
        accounts = accounts_of(policy)
        return {
            "answer": answer,
            "refusal": refusal,
            "standing": standing,
            "newest": newest,
            "since": since(newest) if newest else None,
            "reasons": reasons(newest) if newest else None,
            "accounts": accounts,
            "grows": grows(policy.market),
            "guards": guards(policy.pk),
            "comparisons": ArmComparison.objects.shown().filter(policy=policy.pk)[:COMPARISONS],
            **self._listed(accounts),
            **({} if again else {"chart": equity(policy.pk)}),
        }

    def _listed(self, accounts: list[PaperAccount]) -> dict[str, Any]:
        """Return the decisions of the live version's newest account, newest first, and where the next page begins."""
        own = [account for account in accounts if account.arm.kind == "live"]
        if not own:
            return {"decisions": []}
        form = Before(self.request.GET)
        before = form.cleaned_data.get("before") if form.is_valid() else None
        found = Decision.objects.filter(policy=own[0].arm.policy_id, arm=own[0].arm).order_by("-bar_opened_at")
        if before:
            found = found.filter(bar_opened_at__lt=before)
        rows: list[Any] = list(found.select_related("version").defer("version__evaluation")[: LISTED + 1])
        for row in rows:
            row.position = position_in_words(row.target_position)
        return {"decisions": rows[:LISTED], "older": rows[LISTED - 1] if len(rows) > LISTED else None, "before": before}


def _answer(policy: PolicyStore) -> tuple[Answer | None, NoDecisionError | None]:
    try:
        return current(policy, timezone.now), None
    except NoDecisionError as error:
        return None, error


def reasons(decision: Decision) -> Reasons | None:
    """Return the reasons of a version's decision; None for a decision without a version."""
    if decision.version is None or not decision.probabilities:
        return None
    config = TrainingRun.objects.filter(version=decision.version).values_list("config", flat=True).first()
    try:
        environment = EnvironmentConfig.model_validate(config["environment"] if config else None)
    except (ValidationError, KeyError, TypeError):
        return None
    names = [*feature_names(environment.features), *ACCOUNT_OBSERVATIONS]
    values = np.frombuffer(bytes(decision.observation), "<f4").tolist()
    positions = [position_in_words(position) for position in environment.positions]
    if len(names) != len(values) or len(positions) != len(decision.probabilities):
        return None
    return Reasons(list(zip(positions, decision.probabilities, strict=True)), list(zip(names, values, strict=True)))
