"""The gate: whether the recipe of a policy is validated, and which of its new versions go live."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from django.db import transaction
from pydantic import ValidationError

from rl_training.core.market.bars import MarketData
from rl_training.core.run.recipe import recipe_digest
from rl_training.core.run.walk_forward.verdict import WALK_FORWARD
from rl_training.models import InvalidConfigError, PolicyStore, PolicyVersion, Promotion, TrainingRun, Validation
from rl_training.validation import accounts, requesting
from rl_training.validation.changed_bars import changed_bars
from rl_training.validation.requesting import REFERENCES
from rl_training.versions import automatic, deployments

log = structlog.get_logger(__name__)

# The beginning of a guard's reason for a version that was trained on all bars.
LAST_FOLD = "it has no held-out bars, and of the last fold of the newest walk-forward the "


class State(StrEnum):
    """The state of a recipe by its trials."""

    NOT_TRIED = "not tried"
    VALIDATED = "validated"
    REFUSED = "refused"
    INCONCLUSIVE = "inconclusive"
    ENDED = "ended"  # monitoring ended its validation


@dataclass(frozen=True)
class Standing:
    """The state of the present recipe of a policy.

    validation  the validation in force, else the newest trial that ended with a verdict, else None
    active      the walk-forward that is queued or running, or None
    expired     a validation in force of an earlier recipe, if the present recipe was not tried, or None
    """

    state: State
    validation: Validation | None = None
    active: Validation | None = None
    expired: Validation | None = None


def recipe_of(policy: PolicyStore) -> str:
    """Return the digest of the policy's recipe; empty while its settings are invalid."""
    try:
        return recipe_digest(policy.training_config(), policy.start_from)
    except (InvalidConfigError, ValidationError):
        return ""


def standings(policies: list[PolicyStore]) -> dict[int, Standing]:
    """Return the state of the recipe of each policy, by the policy's id, in three queries."""
    recipes = {policy.pk: recipe_of(policy) for policy in policies}
    small = Validation.objects.select_related("trial").defer("result", "config").order_by("requested_at", "pk")
    wanted = set(recipes.values()) - {""}
    judged: dict[str, list[Validation]] = {}
    for row in small.filter(recipe__in=wanted).judged():
        judged.setdefault(row.recipe, []).append(row)
    active = {row.recipe: row for row in small.filter(recipe__in=wanted).active()}
    others = small.in_force().filter(policy__in=recipes).exclude(recipe__in=wanted)
    expired = {row.policy_id: row for row in others}
    return {
        policy.pk: _standing(policy, judged.get(recipe, []), active.get(recipe), expired.get(policy.pk))
        for policy, recipe in ((policy, recipes[policy.pk]) for policy in policies)
    }


def standing_of(policy: PolicyStore) -> Standing:
    """Return the state of the policy's recipe."""
    return standings([policy])[policy.pk]


def _standing(
    policy: PolicyStore, tried: list[Validation], active: Validation | None, expired: Validation | None
) -> Standing:
    """Return the standing that follows from `tried`, the trials with a verdict, the newest last."""
    if not tried:
        return Standing(State.NOT_TRIED, None, active, expired)
    # A validation that is in force for the policy counts even if a later trial with another must_beat failed.
    strong = [one for one in tried if one.verdict == "validated" and not one.ended_at and _beats_enough(one, policy)]
    judged = (strong or tried)[-1]
    state = State(judged.verdict)
    if state == State.VALIDATED and judged.ended_at is not None:
        state = State.ENDED
    elif state == State.VALIDATED and not _beats_enough(judged, policy):
        state = State.INCONCLUSIVE
    return Standing(state, judged, active)


def _beats_enough(validation: Validation, policy: PolicyStore) -> bool:
    """Return whether the validation had to beat every reference that the policy requires now."""
    return set(REFERENCES[policy.must_beat]) <= set(validation.must_beat)  # type: ignore[index]


def in_force(recipe: str, policy: PolicyStore) -> Validation | None:
    """Return the validation of the recipe that is in force and strict enough for the policy."""
    return requesting.in_force(recipe, REFERENCES[policy.must_beat]) if recipe else None  # type: ignore[index]


def expiring(before: str, planned: PolicyStore) -> Validation | None:
    """Return the validation in force of the recipe `before` that expires with the planned settings.

    Returns None if `before` has no validation in force, or if the planned recipe is validated.
    """
    return expirings({planned.pk: before}, [planned]).get(planned.pk)


def expirings(before: Mapping[int, str], planned: Collection[PolicyStore]) -> dict[int, Validation]:
    """Return the validation that expires for each of several policies, by the policy's id, in at most one query.

    `before` maps the policy's id to its recipe.
    """
    after = {policy.pk: recipe_of(policy) for policy in planned}
    changed = [policy for policy in planned if before[policy.pk] and after[policy.pk] not in ("", before[policy.pk])]
    if not changed:
        return {}
    recipes = {recipe for policy in changed for recipe in (before[policy.pk], after[policy.pk])}
    found: dict[str, list[Validation]] = {}
    for one in Validation.objects.in_force().filter(recipe__in=recipes).order_by("-requested_at", "-pk"):
        found.setdefault(one.recipe, []).append(one)

    def strict(recipe: str, policy: PolicyStore) -> Validation | None:
        return next((one for one in found.get(recipe, []) if _beats_enough(one, policy)), None)

    return {
        policy.pk: expiring
        for policy in changed
        if (expiring := strict(before[policy.pk], policy)) and not strict(after[policy.pk], policy)
    }


def expiry(validation: Validation) -> str:
    """Return a sentence about the consequences if a change of the recipe makes the validation expire."""
    return (
        f"Validation {validation} expires: it is for the present recipe only. No new version goes live by itself "
        "until the new recipe is validated, which is a trial."
    )


@dataclass(frozen=True)
class Findings:
    """The guards' reasons against a new version, and the validation that they refer to, or None."""

    validation: Validation | None
    reasons: tuple[str, ...] = ()


def examine(run: TrainingRun, evaluation: Mapping[str, Any], market: MarketData) -> Findings:
    """Return the guards' findings about the version with this evaluation that the run made from the market's bars.

    The check takes a tenth of a second, so it is done before the transaction that stores the version. Raises `OSError`
    when the storage does not answer.
    """
    if run.policy.promotion != Promotion.VALIDATED or (validation := in_force(run.recipe, run.policy)) is None:
        return Findings(None)
    changed = changed_bars(validation, market)
    return Findings(validation, (changed,) if changed else tuple(broken(validation, evaluation)))


def broken(validation: Validation, evaluation: Mapping[str, Any]) -> list[str]:
    """Return the reasons why a version with this evaluation is held back, in sentences without a full stop.

    A version that was trained on all bars has no evaluation. Then the guards check the last fold of the newest
    walk-forward of its recipe: the last result of retraining on unseen bars.
    """
    from rl_training.core.run.walk_forward.guards import Conduct, broken_guards, limits_for  # compiled code

    folds = [Conduct(**fold) for fold in conducts(validation.result or {})]
    whose = ""
    if evaluation:
        version = conduct_of(evaluation, int(evaluation["bars"]))
    else:
        whose = LAST_FOLD
        ended = Validation.objects.filter(recipe=validation.recipe, status="succeeded").order_by("-finished_at")
        # A validation whose verdict is about to be stored is the newest walk-forward.
        newest = validation if validation.finished_at is None else ended.first() or validation
        version = conducts(newest.result or {})[-1]
    if not all(math.isfinite(value) for value in version.values()):
        wrong = [name for name, value in version.items() if not math.isfinite(value)]
        return [f"{whose}{name.replace('_', ' ')} is not a finite number" for name in wrong]
    try:
        changes = accounts.read(validation).change(WALK_FORWARD)
    except accounts.AccountsUnreadableError as error:
        return [f"the guards cannot be computed: {error}"]
    found = Conduct(**version)
    return [f"{whose}{reason}" for reason in broken_guards(found, limits_for(changes, folds, found.bars))]


def conduct_of(results: Mapping[str, Any], bars: int) -> dict[str, Any]:
    """Return the arguments of Conduct for results over `bars` bars, named as in Performance."""
    final = 1 + float(results["total_return"])
    return {
        "bars": bars,
        "mean_log_return": math.log(final) / bars if final > 0 else -math.inf,
        "max_drawdown": float(results["max_drawdown"]),
        "turnover": float(results["turnover"]) / bars,
    }


def conducts(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the arguments of Conduct for the walk-forward's account in each fold of a stored result."""
    return [
        conduct_of(fold["performance"], fold["fold"]["end"] - fold["fold"]["begin"])
        | {"mean_log_return": fold["log_returns"][WALK_FORWARD] / (fold["fold"]["end"] - fold["fold"]["begin"])}
        for fold in result["folds"]
    ]


def decide(version: PolicyVersion, findings: Findings) -> None:
    """Make a new version live, propose it, or hold it back, as its policy's `promotion` requires.

    A worker calls this in the transaction that stores the version.
    """
    with transaction.atomic():
        # The settings, or the validation, may have changed since the run started.
        policy = deployments.lock(version.policy)
        if policy.promotion == Promotion.NEWEST:
            automatic.promote_newest(version)
        if policy.promotion != Promotion.VALIDATED:
            return
        validation = in_force(version.run.recipe, policy)
        if validation is None:
            hold_back(version, _why_not(version))
        elif recipe_of(policy) != version.run.recipe:
            hold_back(version, "the policy's recipe has changed since its run was queued")
        elif validation != findings.validation:
            hold_back(version, "the recipe was validated after its run had ended; the next version is examined")
        elif findings.reasons:
            hold_back(version, "; ".join(findings.reasons))
        else:
            automatic.promote(policy, version, _reason(version, validation), validation)


def _reason(version: PolicyVersion, validation: Validation) -> str:
    highest = max((validation.judgement or {}).get("p_above", {"": math.nan}).values())
    passes = f"version {version.number}" if version.evaluation else "the last fold of its newest walk-forward"
    return f"validation {validation} validated the recipe (p = {highest:.2g}), and {passes} passes the guards"


def _why_not(version: PolicyVersion) -> str:
    """Return why a version whose recipe is not validated is held back; empty if no trial concerns the policy."""
    tried = Validation.objects.of_recipe(version.run.recipe).judged().first()
    if tried is None:
        other = Validation.objects.in_force().filter(policy=version.policy).exclude(recipe=version.run.recipe).first()
        return f"its recipe is not the validated one of validation {other}" if other else ""
    if tried.ended_at is not None:
        return f"the validation of its recipe, {tried}, has ended: {tried.ended_because}"
    if tried.verdict == Validation.Verdict.VALIDATED:
        return f"validation {tried} of its recipe did not have to beat everything that must_beat names now"
    return f"its recipe is {tried.verdict}, by validation {tried}"


def hold_back(version: PolicyVersion, reason: str) -> None:
    """Store why the version does not go live."""
    if reason:
        PolicyVersion.objects.filter(pk=version.pk).update(held_back=reason)
        version.held_back = reason
        log.warning("New version is held back", policy=version.policy.name, version=version.number, reason=reason)


def newest_version(validation: Validation) -> PolicyVersion | None:
    """Return the newest version of the validation's policy if the version has the validation's recipe, else None."""
    newest = validation.policy.versions.select_related("run", "policy").order_by("-number").first()
    fits = newest is not None and newest.run.recipe == validation.recipe and newest.weights_removed_at is None
    return newest if fits else None
