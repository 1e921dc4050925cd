"""The result of a walk-forward, its verdict, and the end of a validation that monitoring finds."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils import timezone

from rl_training.core.market.bars import MarketData
from rl_training.core.run.walk_forward.verdict import ALPHA, FLAT, WALK_FORWARD, Verdict, ends_validation, judge
from rl_training.models import Validation
from rl_training.validation import accounts, trials
from rl_training.validation.accounts import Accounts
from rl_training.validation.changed_bars import changed_bars

if TYPE_CHECKING:
    from rl_training.core.run.walk_forward.stitching import Stitched


@dataclass(frozen=True)
class Judged:
    """The result of judging the accounts of a walk-forward.

    columns  columns of the validation
    ends     why the monitored validation ends; empty if it does not end
    """

    columns: dict[str, Any]
    ends: str = ""


def judge_accounts(
    validation: Validation, market: MarketData, stitched: "Stitched", found: Accounts, on_progress: Callable[[], None]
) -> Judged:
    """Return the columns of the result of `stitched`, whose accounts are `found`.

    The result depends only on the accounts, the trial and the recipes that were tried before.
    """
    from rl_training.core.run.walk_forward.report import report_on  # torch: web and beat import this module

    trial, monitored = validation.trial, validation.monitored
    number, alpha = (trial.number, trial.alpha) if trial else (1, ALPHA)
    others = Validation.objects.newest_of_recipes(validation.market_key).exclude(recipe=validation.recipe)
    report = report_on(
        stitched,
        trial=number,
        alpha=alpha,
        trials=max(1, trials.recipes_tried(validation.market_key)),
        other_sharpes=[sharpe for sharpe in others.values_list("sharpe_per_bar", flat=True) if sharpe is not None],
        on_progress=on_progress,
    )
    columns: dict[str, Any] = {
        "result": report.as_dict() | {"overfitting": overfitting(validation, found)},
        "sharpe_per_bar": report.sharpe_per_bar,
    }
    if trial is not None:
        verdict = report.judge(trial=number, alpha=alpha, must_beat=validation.must_beat)
        return Judged(columns | {"verdict": verdict.outcome, "judgement": as_json(verdict)})
    assert monitored is not None  # noqa: S101  # a constraint of the table
    watched = monitor(monitored, market, found)
    return Judged(columns | {"judgement": watched}, watched["ends"])


def as_json(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict in its stored form."""
    return asdict(verdict) | {"outcome": str(verdict.outcome), "sentence": verdict.sentence}


def monitor(monitored: Validation, market: MarketData, found: Accounts) -> dict[str, Any]:
    """Return the test of the account on the bars after the monitored validation; `ends`: why that validation ends."""
    from rl_training.core.evaluation.mean_test import FEWEST_BARS, mean_test  # compiled code

    last = np.datetime64(monitored.bars_last.replace(tzinfo=None), "s") if monitored.bars_last else None
    later = found if last is None else found.after(last)
    changed = changed_bars(monitored, market)
    watched: dict[str, Any] = {"bars": len(later.timestamps), "p_below_flat": None, "ends": changed}
    if changed or len(later.timestamps) < FEWEST_BARS:
        return watched
    test = mean_test(later.difference(FLAT))
    watched |= {"p_below_flat": test.p_below, "mean": test.mean}
    if ends_validation(test.p_below):
        watched["ends"] = (
            f"on the {test.bars:,} bars since then its account fell behind flat, by {-test.mean * 1e4:.2f} bp per bar "
            f"(p = {test.p_below:.2g})"
        )
    return watched


def end_monitored(validation: Validation, reason: str) -> None:
    """End the validations of the recipe that are in force."""
    in_force = Validation.objects.in_force().of_recipe(validation.recipe)
    in_force.order_by().update(ended_at=timezone.now(), ended_because=reason)


def overfitting(validation: Validation, found: Accounts) -> dict[str, Any] | None:
    """Return the probability of backtest overfitting over the market's tried recipes.

    The recipes are compared on the bars that all their newest walk-forwards trade. A recipe whose accounts cannot be
    read is left out. Returns None if there are too few recipes or too few such bars.
    """
    from rl_training.core.evaluation.overfitting import FEWEST_RECIPES, PARTS, overfitting_probability

    series = [found]
    for other in Validation.objects.newest_of_recipes(validation.market_key).exclude(recipe=validation.recipe):
        try:
            series.append(accounts.read(other))
        except accounts.AccountsUnreadableError:
            continue
    common = series[0].timestamps
    for each in series[1:]:
        common = np.intersect1d(common, each.timestamps)
    if len(series) < FEWEST_RECIPES or len(common) < 2 * PARTS:
        return None
    returns = [np.expm1(each.change(WALK_FORWARD)[np.isin(each.timestamps, common)]) for each in series]
    probability = overfitting_probability(np.column_stack(returns))
    return {"probability": probability, "recipes": len(series), "bars": len(common)}


def recompute(validation: Validation) -> dict[str, Any]:
    """Compute the verdict of a trial again from its accounts and its trial; return it in the form of `as_json`.

    Raises `AccountsUnreadableError`.
    """
    from rl_training.core.evaluation.mean_test import resamples_for
    from rl_training.core.run.walk_forward.report import difference_tests

    trial = validation.trial
    if trial is None:
        raise ValueError(f"validation {validation} is no trial and has no verdict")
    found = accounts.read(validation)
    differences = {name: found.difference(name) for name in {FLAT, *validation.must_beat}}
    tests = difference_tests(differences, resamples_for(trial.level), seed=0)
    p_above = {name: test.p_above for name, test in tests.items()}
    again = judge(
        p_above,
        tests[FLAT].p_below,
        bars=len(found.timestamps),
        trial=trial.number,
        alpha=trial.alpha,
        must_beat=validation.must_beat,
    )
    return as_json(again)
