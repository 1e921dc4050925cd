"""The standing of a recipe and the result of a walk-forward, as templates show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from dashboard.charts import validations as charts
from rl_training.models import InvalidConfig, PolicyStore, Promotion, Validation, ValidationStep
from rl_training.validation import reports, trials
from rl_training.validation.gate import Standing, State
from rl_training.versions import deployments

# The sentence about new versions of a recipe in each state, where the gate decides.
CONSEQUENCES = {
    State.NOT_TRIED: "No new version goes live by itself until the recipe is validated.",
    State.VALIDATED: "Each new version goes live by itself if it passes the guards.",
    State.REFUSED: "New versions are held back, because the recipe is refused.",
    State.INCONCLUSIVE: "New versions are held back, because the recipe is not validated.",
    State.ENDED: "New versions are held back, because the validation has ended.",
}
PINNED = "No new version goes live by itself until what is live is unpinned or another version is promoted."
PROPOSED = "Each new version that passes the guards is proposed, and goes live once a user approves the proposal."
UNTRIED = "No walk-forward of this recipe has a verdict: nothing shows that retraining it earns anything."


@dataclass(frozen=True)
class Fold:
    """A fold that was begun: the state of its training, and the texts of its results, empty before the result."""

    step: ValidationStep
    trained_on: int | None
    results: Sequence[str]

    @property
    def number(self) -> int:
        return self.step.number + 1

    @property
    def is_trained(self) -> bool:
        return self.step.status == ValidationStep.Status.SUCCEEDED


def verdict(standing: Standing) -> list[str]:
    """Return the standing of the policy's recipe in sentences."""
    found = [UNTRIED]
    if standing.validation is not None:
        found = [reports.answer(standing.validation)]
        if standing.state == State.INCONCLUSIVE and standing.validation.verdict == Validation.Verdict.VALIDATED:
            found.append(
                "The validation did not have to beat everything that must_beat names now, so it does not count."
            )
    elif standing.expired is not None:
        found.append(
            f"Validation {standing.expired} validated another recipe of this policy, and holds for that recipe alone."
        )
    return found


def consequence(policy: PolicyStore, standing: Standing) -> str:
    """Return what follows for new versions of the policy; empty where the gate does not decide."""
    if policy.promotion != Promotion.VALIDATED:
        return ""
    if standing.state != State.VALIDATED:
        return CONSEQUENCES[standing.state]
    current = deployments.newest(policy)
    if current is not None and current.pinned:
        return PINNED
    return PROPOSED if settings.PROMOTION_NEEDS_TWO else CONSEQUENCES[standing.state]


def budget_of(policy: PolicyStore) -> dict[str, Any] | None:
    """Return the trials on the policy's market and what is left of alpha; None while the market is invalid."""
    if isinstance(policy.market, InvalidConfig):
        return None
    found = reports.budget(trials.ledger_key(policy.market), settings.PROMOTION_ALPHA)
    return found | {"alpha": settings.PROMOTION_ALPHA, "market": policy.market.label}


def progress_of(validation: Validation) -> dict[str, Any]:
    """Return the folds of a walk-forward that were begun, and the headings of their results."""
    table = charts.folds_table(validation.result)
    results = {int(row[0]): row[1:] for row in table.rows}
    steps = validation.steps.filter(kind=ValidationStep.Kind.FOLD).order_by("number")
    return {
        "current": validation,
        "active": validation.status in Validation.ACTIVE,
        "folds": [Fold(step, _trained_on(step), results.get(step.number + 1, ())) for step in steps],
        "fold_headings": table.headings if table.rows else (),
    }


def _trained_on(step: ValidationStep) -> int | None:
    fold = charts.mapping(step.fold)
    begin, end = fold.get("train_begin"), fold.get("train_end")
    return end - begin if isinstance(begin, int) and isinstance(end, int) else None


def results_of(validation: Validation) -> dict[str, Any]:
    """Return the charts and tables of a walk-forward's result; empty ones without a result."""
    result = validation.result
    level = validation.trial.level if validation.trial else None
    return {
        "validation": validation,
        "charts": charts.charts_of(result),
        "accounts": charts.accounts_table(result),
        "tests": charts.tests_table(result, validation.must_beat, level),
        "members": charts.members_table(result),
        "selection": charts.selection(result) if result else [],
    }


def find(validation_id: str) -> Validation | None:
    """Return the validation with the rows that pages show beside it, or None."""
    related = Validation.objects.select_related("policy", "trial", "monitored", "requested_by")
    return related.filter(validation_id=validation_id).first()
