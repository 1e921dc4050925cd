import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import rankdata

from rl_training.core.evaluation.overfitting import overfitting_probability


def random_returns(bars=400, recipes=8, seed=1):
    return np.random.default_rng(seed).normal(0, 0.01, (bars, recipes))


def by_definition(returns, parts):
    """Return the result as the paper's text computes it, one choice after another."""
    blocks = np.array_split(returns[len(returns) % parts :], parts)
    logits = []
    for half in combinations(range(parts), parts // 2):
        seen = np.concatenate([blocks[part] for part in half])
        unseen = np.concatenate([blocks[part] for part in range(parts) if part not in half])
        best = np.argmax(seen.mean(axis=0) / seen.std(axis=0))
        relative = rankdata(unseen.mean(axis=0) / unseen.std(axis=0))[best] / (returns.shape[1] + 1)
        logits.append(math.log(relative / (1 - relative)))
    return np.mean(np.array(logits) <= 0)


@pytest.mark.parametrize(("bars", "recipes", "parts"), [(403, 8, 6), (120, 9, 4), (64, 2, 8)])
def test_probability_is_that_of_the_definition(bars, recipes, parts):
    returns = random_returns(bars, recipes)
    assert overfitting_probability(returns, parts) == by_definition(returns, parts)


def test_recipe_that_always_earns_most_is_not_overfitted():
    returns = random_returns()
    returns[:, 3] += 0.02
    assert overfitting_probability(returns) == 0.0


def test_recipe_that_earns_in_one_half_alone_is_overfitted():
    # One recipe earns in the first half and loses in the second, the other does the opposite.
    first = np.concatenate([np.tile([0.03, -0.01], 20), np.tile([-0.03, 0.01], 20)])
    returns = np.column_stack([first, -first])
    assert overfitting_probability(returns, 2) == 1.0


def test_probability_without_skill_is_about_one_half():
    found = [overfitting_probability(random_returns(320, 10, seed), 8) for seed in range(40)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.12)


def test_recipes_that_are_the_same_share_the_median_rank():
    assert overfitting_probability(np.tile(random_returns(64, 1), 3), 4) == 1.0


def test_flat_recipe_has_a_ratio_of_zero():
    returns = np.column_stack([np.zeros(64), np.tile([0.03, -0.01], 32)])
    assert overfitting_probability(returns, 4) == 0.0


@pytest.mark.parametrize(
    ("shape", "parts"),
    [((100, 1), 4), ((100, 3), 5), ((7, 3), 4), ((100,), 4)],
    ids=["one recipe", "odd", "short", "1d"],
)
def test_unusable_returns_are_refused(shape, parts):
    with pytest.raises(ValueError, match="at least 2 recipes"):
        overfitting_probability(np.ones(shape), parts)


def test_return_that_is_not_finite_is_refused():
    returns = random_returns()
    returns[17, 2] = math.nan
    with pytest.raises(ValueError, match="bar 17"):
        overfitting_probability(returns)
