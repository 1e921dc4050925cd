import json

import numpy as np
import pytest

from benchmarks.results.figures import Figure
from benchmarks.validation import PARTS, main, parse
from benchmarks.validation_rows.markets import BARS, CRASH, CRASHES, NOISE, noise_market
from benchmarks.validation_rows.recipes import DEFAULT_SEEDS, default_recipe, noise_recipes
from rl_training.core.config import EnvironmentConfig
from rl_training.models import PolicyStore


@pytest.mark.parametrize("kind", NOISE)
def test_noise_has_no_drift_and_no_correlation(kind):
    returns = np.concatenate([np.diff(np.log(noise_market(kind, seed).close)) for seed in range(20)])
    signs = np.sign(returns)
    assert abs(returns.mean()) < 4 * returns.std() / np.sqrt(len(returns))
    assert abs((signs[1:] * signs[:-1]).mean() - signs.mean() ** 2) < 4 / np.sqrt(len(returns))


def test_crashes_are_as_deep_and_as_frequent_as_their_name_says():
    returns = np.concatenate([np.diff(np.log(noise_market("crashes", seed).close)) for seed in range(20)])
    assert (returns < np.log(1 - CRASH) / 2).mean() == pytest.approx(CRASHES, rel=0.25)


def test_markets_of_a_seed_repeat_and_those_of_others_differ():
    first, again, other = (noise_market("GARCH-t4", seed) for seed in (1, 1, 2))
    assert len(first) == BARS
    assert first.digest == again.digest != other.digest


def test_default_recipe_is_that_of_a_new_policy():
    assert PolicyStore._meta.get_field("seeds").default == DEFAULT_SEEDS
    assert default_recipe().config.environment == EnvironmentConfig()


def test_ten_different_recipes_are_tried_on_noise():
    assert len({(recipe.config.model_dump_json(), recipe.window) for recipe in noise_recipes()}) == 10


def test_number_of_markets_follows_the_options():
    assert (parse(["--quick"]).markets, parse([]).markets, parse(["--markets", "7"]).markets) == (2, 100, 7)
    assert parse([]).only == PARTS


def test_last_line_is_one_object_of_rows(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.validation.leaks", lambda: iter([Figure("leaks", 19, "leaks", at_least=20)]))
    main(["--only", "leaks", "--json"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "rows": [{"what": "leaks (leaks)", "value": 19, "target": ">= 20 leaks", "ok": False}]
    }
