"""Measures how often recipes are validated on markets with and without structure."""

from collections.abc import Iterator
from concurrent.futures import Executor

from benchmarks.results.figures import Figure
from benchmarks.validation_rows.markets import NOISE, ar1_market, noise_market
from benchmarks.validation_rows.recipes import default_recipe, noise_recipes, outcome_of
from rl_training.core.run.walk_forward.folds import FOLDS
from rl_training.core.run.walk_forward.verdict import ALPHA, Outcome

FEE = 0.0005


def structure(pool: Executor, markets: int, folds: int = FOLDS) -> Iterator[Figure]:
    """Yield the share of AR(1) markets in which the first recipe, the default one, is validated."""
    found = list(pool.map(_first_recipe, range(markets), [folds] * markets))
    validated = sum(outcome == Outcome.VALIDATED for outcome in found)
    name = f"AR(1) 0.2 at 5 bp: first recipe validated, {markets} markets"
    yield Figure(name, 100 * validated / markets, "%", at_least=90.0)


def _first_recipe(seed: int, folds: int) -> Outcome:
    return outcome_of(default_recipe(FEE), ar1_market(seed), trial=1, alpha=ALPHA, folds=folds)


def noise(pool: Executor, markets: int, recipes: int, folds: int = FOLDS) -> Iterator[Figure]:
    """Yield, for each kind of noise, the share of markets in which any of the recipes is ever validated."""
    for kind in NOISE:
        tasks = [pool.submit(_any_validated, kind, seed, recipes, folds) for seed in range(markets)]
        validated = sum(task.result() for task in tasks)
        name = f"{kind}: any of {recipes} recipes validated, {markets} markets"
        yield Figure(name, 100 * validated / markets, "%", at_most=8.0)


def _any_validated(kind: str, seed: int, recipes: int, folds: int) -> bool:
    market = noise_market(kind, seed)
    return any(
        outcome_of(recipe, market, trial=trial, alpha=ALPHA, folds=folds) == Outcome.VALIDATED
        for trial, recipe in enumerate(noise_recipes()[:recipes], start=1)
    )
