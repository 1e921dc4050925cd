import subprocess
import sys

import numpy as np
import pytest

from rl_training.core.run.checkpoint import load_policy
from rl_training.core.run.walk_forward.fold_training import (
    continues,
    fold_config,
    fold_policy,
    load_fold,
    store_fold,
    train_fold,
)
from rl_training.core.run.walk_forward.leaks import scrambled
from rl_training.core.sealed import CheckpointError
from tests.core.run.small_run import stop_after
from tests.core.run.walk_forward.cases import FOLDS, MARKET, RECIPE, policies, result


def same(fold, other):
    """Return whether two results of training are equal to the bit."""
    compared = ("weights_digest", "statistics", "trained_until", "episode_rewards", "curve")
    return all(getattr(fold, name) == getattr(other, name) for name in compared)


@pytest.mark.parametrize("number", [0, 2])
def test_scrambled_bars_from_the_start_of_a_fold_on_change_nothing_in_it(number):
    later = scrambled(MARKET, FOLDS[number].begin)
    assert later.digest != MARKET.digest
    assert same(train_fold(RECIPE, later, FOLDS[number]), result(number))


def test_bars_that_a_fold_trains_on_change_its_weights():
    earlier = scrambled(MARKET, FOLDS[0].train_end - 1)
    assert train_fold(RECIPE, earlier, FOLDS[0]).weights_digest != result(0).weights_digest


def test_order_of_the_folds_changes_nothing():
    for fold in reversed(FOLDS):
        assert same(train_fold(RECIPE, MARKET, fold), result(fold.number))


@pytest.mark.process
def test_another_process_computes_the_same_fold():
    program = "from tests.core.run.walk_forward.cases import result; print(result(1).weights_digest)"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.split()[-1] == result(1).weights_digest


def test_stopped_fold_resumes_with_the_same_result(tmp_path):
    path = tmp_path / "checkpoint"
    stopped = train_fold(RECIPE, MARKET, FOLDS[1], checkpoint=path, should_stop=stop_after(3))
    assert stopped.stopped
    assert same(train_fold(RECIPE, MARKET, FOLDS[1], checkpoint=path), result(1))


def test_folds_have_seeds_of_their_own_and_train_on_all_their_bars():
    configs = [fold_config(RECIPE, fold) for fold in FOLDS]
    assert len({config.seed for config in configs}) == 3
    assert {config.market.train_fraction for config in configs} == {1.0}
    assert configs[0].model_copy(update={"seed": 7, "market": RECIPE.market}) == RECIPE


def test_stored_fold_is_loaded_with_all_data_for_the_account(tmp_path):
    store_fold(tmp_path / "fold", FOLDS[1], result(1), run="abc")
    loaded, kept = load_fold(tmp_path / "fold"), policies()[1]
    assert (loaded.fold, loaded.statistics, loaded.trained_until) == (kept.fold, kept.statistics, kept.trained_until)
    observations = np.random.default_rng(1).normal(size=(50, 5))
    assert np.array_equal(loaded.policy.predict(observations), kept.policy.predict(observations))


def test_policy_that_is_not_of_a_fold_is_refused(tmp_path):
    result(1).save(tmp_path / "policy")
    with pytest.raises(CheckpointError, match="is a policy, but not of a fold"):
        load_fold(tmp_path / "policy")


def test_folds_of_recipes_that_continue_are_trained_in_order(tmp_path):
    assert [continues(rule) for rule in ("scratch", "live", "newest")] == [False, True, True]
    store_fold(tmp_path / "fold", FOLDS[0], result(0))
    chained = train_fold(RECIPE, MARKET, FOLDS[1], previous=load_policy(tmp_path / "fold"))
    assert chained.weights_digest != result(1).weights_digest
    assert fold_policy(FOLDS[1], chained).trained_until == MARKET.timestamp[FOLDS[1].train_end - 1]
