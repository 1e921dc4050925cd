import pytest

from rl_training.models import InvalidConfigError, PolicyStore, TrainingRun, Trial
from rl_training.runs import lifecycle
from rl_training.settings_change import SettingsRefusedError
from rl_training.validation import steps
from rl_training.validation.requesting import AlreadyValidatingError, Options, OptionsError, recipe_of, request
from tests.stored import store_raw, version_to_continue
from tests.validations import request_validation, succeed_validation, trial_number

pytestmark = pytest.mark.django_db


def digest(policy, **options):
    return recipe_of(policy, Options(**options)).digest


def test_requested_validation_keeps_the_recipe(policy):
    found = request_validation(policy, folds=4, window=900, seed=7)
    assert (found.folds, found.window, found.start_from, found.config["seed"]) == (4, 900, "scratch", 7)
    assert (found.must_beat, found.market) == (["flat", "buy_and_hold"], "sp500")
    assert [step.kind for step in found.steps.all()] == ["prepare"]


def test_recipe_digest_covers_all_settings_that_decide_a_run(policy):
    first = digest(policy)
    for changed in ({"seeds": 1}, {"episodes_per_run": 3}, {"start_from": "newest"}, {"ppo": {"gamma": 0.9}}):
        assert digest(policy, changes=changed) != first
    assert digest(policy, window=1000) != first


def test_settings_that_decide_no_weights_are_no_part_of_the_recipe(policy):
    first = digest(policy)
    for same in ({"interval_minutes": 5}, {"market": {"train_fraction": 1.0}}, {"market": {"planted_seed": 3}}):
        assert digest(policy, changes=same) == first
    assert digest(policy, seed=3) == first


def run_recipe(policy, **options):
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False, **options)
    lifecycle.cancel(run)
    return run.recipe


def test_run_has_the_digest_of_its_recipe(policy):
    assert run_recipe(policy) == run_recipe(policy, from_scratch=True) == digest(policy)
    assert run_recipe(policy, episodes=7) == digest(policy, changes={"episodes_per_run": 7})


def test_run_from_a_chosen_version_is_of_no_policys_recipe(policy):
    version = version_to_continue(policy)
    assert run_recipe(policy) == digest(policy)
    assert run_recipe(policy, initial_version=version) != digest(policy)


def test_recipe_has_one_validation_at_a_time_over_all_policies(policy):
    active = request_validation(policy)
    with pytest.raises(AlreadyValidatingError, match=f"validation {active}"):
        request(PolicyStore.objects.create(name="copy"), send_message=False)
    assert Trial.objects.count() == 1


def test_repetition_of_a_recipe_that_is_not_validated_is_a_trial(policy):
    succeed_validation(request_validation(policy), "inconclusive")
    assert trial_number(request_validation(policy)) == 2


def test_repetition_of_a_validated_recipe_monitors_it_and_is_no_trial(policy):
    validated = succeed_validation(request_validation(policy, folds=5))
    again = request_validation(policy)
    assert (again.trial, again.monitored, again.folds) == (None, validated, 5)
    assert Trial.objects.count() == 1


def test_cancelled_validation_was_a_trial(policy):
    assert steps.cancel(request_validation(policy))
    assert trial_number(request_validation(policy)) == 2


@pytest.mark.parametrize(("options", "message"), [({"folds": 0}, "folds: 0"), ({"window": 0}, "window: 0")])
def test_options_out_of_range_are_refused(policy, options, message):
    with pytest.raises(OptionsError, match=message):
        request_validation(policy, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changes": {"market": {"source": "planted", "bars": 900}}}, "900 bars, but at least 1,440 are needed"),
        ({"folds": 100, "changes": {"market": {"source": "planted", "bars": 3000}}}, "3,000 bars, but at least 4,000"),
        ({"window": 10}, "a window of 10 bars, but at least 616 are needed"),
        ({"window": 4613}, "No fold has more than 4613 bars to train on; leave the window out"),
    ],
)
def test_walk_forward_that_cannot_be_made_or_is_made_twice_is_no_trial(policy, options, message):
    with pytest.raises(OptionsError, match=message):
        request_validation(policy, **options)
    assert Trial.objects.count() == 0


def test_walk_forward_on_a_file_without_needed_volume_is_no_trial(policy, settings, tmp_path):
    settings.MARKET_DATA_ROOT = tmp_path
    rows = (f"{1_600_000_000 + 3600 * hour},10,12,9,{10 + hour % 2}" for hour in range(2000))
    (tmp_path / "m.csv").write_text("\n".join(["timestamp,open,high,low,close", *rows]))
    policy.market = policy.market.model_copy(update={"source": "file", "path": "m.csv"})
    policy.save_settings()
    with pytest.raises(OptionsError, match="feature volume_zscore_20 needs volume"):
        request_validation(policy)
    assert Trial.objects.count() == 0


def test_walk_forward_on_a_file_that_has_gone_is_no_trial(policy):
    policy.market = policy.market.model_copy(update={"source": "file", "path": "gone.csv"})
    policy.save_settings()
    with pytest.raises(OptionsError, match="gone.csv: there is no such file"):
        request_validation(policy)
    assert Trial.objects.count() == 0


def test_request_with_invalid_settings_is_no_trial(policy):
    with pytest.raises(SettingsRefusedError):
        request_validation(policy, changes={"ppo": {"gamma": 2}})
    store_raw(policy, "ppo", {"gamma": 2})
    with pytest.raises(InvalidConfigError):
        request_validation(PolicyStore.objects.get())
    assert Trial.objects.count() == 0
