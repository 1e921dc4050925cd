"""Validations in words and numbers, for commands, the API and the pages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from quantum_trader.timestamps import utc_text
from rl_training.core.config import TrainingConfig
from rl_training.core.run.walk_forward.verdict import trial_level
from rl_training.core.words import count_of
from rl_training.models import PolicyStore, Validation, ValidationStep
from rl_training.validation import trials
from rl_training.validation.requesting import AS_CONFIGURED, Options, recipe_of

Kind, Status = ValidationStep.Kind, Validation.Status


def estimated_seconds(policy: PolicyStore, options: Options = AS_CONFIGURED) -> float | None:
    """Return the seconds that one training process needs for a walk-forward, from the policy's last successful run.

    Returns None before the first successful run. Raises `InvalidConfigError` and `SettingsRefusedError`.
    """
    config = recipe_of(policy, options).config
    runs = policy.runs.filter(status="succeeded", duration_seconds__gt=0, environment_steps__gt=0)
    run = runs.order_by("-finished_at").only("duration_seconds", "environment_steps").first()
    if run is None or run.duration_seconds is None:
        return None
    return options.folds * config.total_timesteps * run.duration_seconds / run.environment_steps


def budget(market: str, alpha: float) -> dict[str, Any]:
    """Return the trials so far on the market with this key, and the level that the next trial may spend."""
    number = trials.number_of_trials(market)
    spent = trials.spent(market)
    return {
        "trials": number,
        "recipes": trials.recipes_tried(market),
        "spent": spent,
        "remaining": max(0.0, alpha - spent),
        "next_level": trial_level(number + 1, alpha),
    }


def answer(validation: Validation) -> str:
    """Return the validation's state or verdict as a sentence with its numbers."""
    judgement = validation.judgement or {}
    match validation.status:
        case Status.QUEUED:
            return "The walk-forward waits for a worker."
        case Status.RUNNING:
            done, all_folds = folds_done(validation), validation.folds
            return f"The walk-forward is running: {done} of {count_of(all_folds, 'fold')} trained."
        case Status.FAILED:
            return f"The walk-forward failed: {validation.error}"
        case Status.CANCELLED:
            return "The walk-forward was cancelled."
    if validation.trial is None:
        return _monitored(judgement)
    sentence = str(judgement.get("sentence", ""))
    if validation.ended_at is not None:
        return f"{sentence} The validation ended on {validation.ended_at:%Y-%m-%d}: {validation.ended_because}."
    return sentence


def _monitored(judgement: dict[str, Any]) -> str:
    bars, p_value = judgement.get("bars", 0), judgement.get("p_below_flat")
    if judgement.get("ends"):
        return f"The validation ends: {judgement['ends']}."
    if p_value is None:
        return f"The validation stands: {count_of(bars, 'bar')} since then, too few for a test."
    found = f"on the {bars:,} bars since then its account has not lost significantly against flat (p = {p_value:.2g})"
    return f"The validation stands: {found}."


def folds_done(validation: Validation) -> int:
    """Return the number of trained folds."""
    return validation.steps.filter(kind=Kind.FOLD, status=ValidationStep.Status.SUCCEEDED).count()


def describe(validation: Validation, steps: Sequence[ValidationStep] = ()) -> dict[str, Any]:
    """Return the validation as a JSON object, with the progress of its folds and the account's results on them."""
    trial, result = validation.trial, validation.result or {}
    return {
        "validation_id": validation.validation_id,
        "policy": validation.policy.name,
        "market": validation.market,
        "status": validation.status,
        "answer": answer(validation),
        "verdict": validation.verdict or None,
        "in_force": bool(trial and validation.verdict == Validation.Verdict.VALIDATED and validation.ended_at is None),
        "monitors": validation.monitored.validation_id if validation.monitored else None,
        "trial": trial.number if trial else None,
        "level": trial.level if trial else None,
        "alpha": trial.alpha if trial else None,
        "must_beat": validation.must_beat,
        "judgement": validation.judgement,
        "recipe": validation.recipe,
        "config": validation.config,
        "start_from": validation.start_from,
        "folds": [describe_fold(step, result) for step in steps if step.kind == Kind.FOLD],
        "number_of_folds": validation.folds,
        "window": validation.window,
        "bars": validation.bars,
        "first_traded_at": _text(validation.first_traded_at),
        "last_bar_at": _text(validation.bars_last),
        "bars_digest": validation.bars_digest or None,
        "requested_at": _text(validation.requested_at),
        "started_at": _text(validation.started_at),
        "finished_at": _text(validation.finished_at),
        "ended_at": _text(validation.ended_at),
        "ended_because": validation.ended_because or None,
        "result": validation.result,
        "error": validation.error or None,
    }


def describe_fold(step: ValidationStep, result: dict[str, Any]) -> dict[str, Any]:
    """Return a fold as a JSON object; the account's results on it are None until all folds are judged."""
    folds = result.get("folds", [])
    performance = folds[step.number]["performance"] if step.number < len(folds) else {}
    returns = folds[step.number]["log_returns"] if step.number < len(folds) else {}
    names = ("total_return", "sharpe", "sharpe_interval", "max_drawdown", "turnover", "time_in_market", "costs_paid")
    return {
        "number": step.number + 1,
        "status": step.status,
        "progress": 1.0 if step.status == ValidationStep.Status.SUCCEEDED else step.progress,
        "first_traded_at": _text(step.first_traded_at),
        "last_traded_at": _text(step.last_traded_at),
        "seconds": step.seconds,
        "sha256": step.sha256 or None,
        **{name: performance.get(name) for name in names},
        "log_returns": returns,
    }


def spread_over_seeds(validation: Validation) -> list[tuple[str, dict[str, Any]]]:
    """Return the results of the members' own accounts, by the accounts' names; empty for recipes of one member."""
    performances = (validation.result or {}).get("performances", {})
    return [(name, found) for name, found in performances.items() if name.startswith("member_")]


def config_of(validation: Validation) -> TrainingConfig:
    """Return the recipe's config. Raises pydantic's `ValidationError` if the present models refuse the config."""
    return TrainingConfig.model_validate(validation.config)


def _text(time: datetime | None) -> str | None:
    return utc_text(time) if time else None
