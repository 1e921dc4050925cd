import numpy as np
import pytest

from rl_training.core.config import TrainingConfig
from rl_training.core.market.planted import planted_market
from rl_training.core.run.walk_forward.fold_training import fold_policy, train_fold
from rl_training.core.run.walk_forward.folds import plan_folds
from rl_training.core.run.walk_forward.stitching import stitch
from rl_training.files import artifacts
from rl_training.models import Validation
from rl_training.validation import accounts, steps
from rl_training.validation.judging import recompute
from rl_training.worker import validating
from tests.validations import claim_next, compute, queued_steps, request_validation, small_policy, trial_number

# Each test commits, as a worker does.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def small(db):
    return small_policy()


def describe_result(validation):
    return validation.result or {}


def digests(validation):
    return list(validation.steps.filter(kind="fold").order_by("number").values_list("sha256", flat=True))


def test_walk_forward_equals_the_library_to_the_bit(small):
    found = compute(request_validation(small, folds=3, seed=5))
    config = TrainingConfig.model_validate(found.config)
    market = planted_market(config.market)
    folds = plan_folds(len(market), config.environment, folds=3)
    results = [train_fold(config, market, fold) for fold in folds]
    stitched = stitch(market, config.environment, [fold_policy(*pair) for pair in zip(folds, results, strict=True)])
    assert (found.status, found.error, found.bars_digest) == ("succeeded", "", market.digest)
    assert digests(found) == [result.weights_digest for result in results]
    stored = accounts.read(found)
    np.testing.assert_array_equal(stored.changes, stitched.changes)
    assert stored.names == stitched.names
    assert [fold["fold"]["number"] for fold in describe_result(found)["folds"]] == [0, 1, 2]


def test_folds_that_were_stopped_are_resumed_with_the_same_result(small):
    whole = compute(request_validation(small, folds=2, seed=5))
    stopped = compute(request_validation(small, folds=2, seed=5), attempts=2)
    assert [step.attempt for step in stopped.steps.filter(kind="fold")] == [2, 2]
    assert digests(stopped) == digests(whole)
    assert stopped.accounts_sha256 == whole.accounts_sha256


def test_verdict_can_be_computed_again_from_what_is_stored(small):
    found = compute(request_validation(small, folds=2, seed=5))
    assert found.verdict in ("validated", "refused", "inconclusive")
    assert recompute(found) == found.judgement
    assert trial_number(found) == 1


def test_folds_of_a_recipe_that_continues_start_from_the_fold_before(small):
    fresh = digests(compute(request_validation(small, folds=2, seed=5)))
    continued = digests(compute(request_validation(small, folds=2, seed=5, changes={"start_from": "newest"})))
    assert continued[0] == fresh[0]
    assert continued[1] != fresh[1]


def test_files_of_folds_are_removed_after_the_end_and_accounts_stay(small):
    found = compute(request_validation(small, folds=2, seed=5))
    folds = [step.artifact for step in found.steps.filter(kind="fold")]
    steps.remove_files()
    assert not any(artifacts.remove(name) for name in folds)
    assert not found.steps.filter(has_files=True).exists()
    assert len(accounts.read(found).timestamps) == 400


def test_files_of_folds_are_removed_after_the_policy_was_renamed(small):
    validation = request_validation(small, folds=1)
    for _ in ("prepare", "fold"):
        validating.execute(claim_next(validation), lambda: False)
    small.name = "renamed"
    small.save_settings()
    compute(validation)
    [fold] = validation.steps.filter(kind="fold")
    steps.remove_files()
    assert (fold.artifact[:6], artifacts.remove(fold.artifact)) == ("small/", False)


def test_too_few_bars_fail_the_validation_with_the_number_needed(small):
    validation = request_validation(small, changes={"market": {"source": "nasdaq"}})
    # A file or an exchange may have fewer bars than at the time of the request, which refuses too few bars.
    Validation.objects.update(window=20)
    validation.refresh_from_db()
    found = compute(validation)
    assert found.status == "failed"
    assert found.error.startswith("walk-forward: a window of 20 bars, but at least ")


def test_same_bars_under_another_name_are_refused(small):
    first = compute(request_validation(small, folds=2))
    Validation.objects.filter(pk=first.pk).update(market_key="another", market="prices.csv")
    found = compute(request_validation(small, folds=2, changes={"seeds": 2}))
    assert found.error == ("walk-forward: recipes were tried on the same bars as market prices.csv; use this market")


def test_missing_market_file_fails_the_validation(small):
    validation = request_validation(small)
    validation.config["market"] |= {"source": "file", "path": "gone.csv"}
    validation.save()
    found = compute(validation)
    assert (found.status, "gone.csv" in found.error) == ("failed", True)


def test_unexpected_error_is_stored_and_raised(small):
    validation = request_validation(small, folds=2)
    validating.execute(claim_next(validation), lambda: False)
    claimed = claim_next(validation)
    claimed.validation.config = {"episodes": "many"}
    with pytest.raises(ValueError, match="episodes"):
        validating.execute(claimed, lambda: False)
    assert "episodes" in Validation.objects.get().error


def test_graceful_stop_releases_a_step(small):
    validation = request_validation(small, folds=2)
    validating.execute(claim_next(validation), lambda: False)
    validating.execute(claim_next(validation), lambda: True)
    assert [step.attempt for step in queued_steps(validation)] == [1, 0]


def test_damaged_accounts_are_not_used(small):
    found = compute(request_validation(small, folds=2))
    Validation.objects.update(accounts_sha256="0" * 64)
    found.refresh_from_db()
    with pytest.raises(accounts.AccountsUnreadableError, match="damaged"):
        accounts.read(found)
