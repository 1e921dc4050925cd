"""The questions that start and cancel a walk-forward."""

import pytest

from rl_training.models import PolicyStore, Trial, Validation
from tests.dashboard.pages.page_text import words
from tests.stored import finished_run, store_raw, walked_forward
from tests.validations import request_validation

pytestmark = pytest.mark.django_db
START = "/policies/rl_v3/walk-forward/"


@pytest.fixture
def operator(signed_in):
    return signed_in("operator")


def shown(client, url):
    return words(client.get(url).content.decode())


def answered(client, url, **fields):
    return words(client.post(url, fields, follow=True).content.decode())


def test_question_says_which_trial_it_is_and_what_it_may_spend(operator, policy):
    walked_forward(PolicyStore.objects.create(name="other"), "inconclusive")
    finished_run(policy, duration_seconds=10.0, environment_steps=policy.training_config().total_timesteps)
    text = shown(operator, START)
    assert "This is trial 2 on sp500; trials count for the market, whichever policies they belong to." in text
    assert "The trial may spend 0.0076 of the 0.02 that is left of 0.05: only p-values below 0.0076 validate" in text
    assert "It counts whatever its outcome, even if it is cancelled" in text
    assert "One training process needs about 1 min 20 s for 8 folds" in text


def test_operator_starts_a_trial_with_its_options(operator, policy):
    text = answered(operator, START, folds=3, window=900)
    validation = Validation.objects.get()
    assert f"Validation {validation} of rl_v3 is queued. It is trial 1 on sp500." in text
    assert (validation.folds, validation.window, str(validation.requested_by)) == (3, 900, "operator")
    assert Trial.objects.count() == 1
    # The recipe with a window is another recipe, so the policy's own recipe has not been tried.
    assert "No walk-forward of this recipe has a verdict" in text


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"folds": 0}, "greater than or equal to 1"),
        ({"folds": 101}, "less than or equal to 100"),
        ({"folds": "x"}, "whole number"),
        ({"folds": 8, "window": 0}, "greater than or equal to 1"),
    ],
)
def test_option_out_of_range_starts_nothing(operator, policy, fields, error):
    assert error in answered(operator, START, **fields)
    assert not Validation.objects.exists()


def test_second_walk_forward_of_the_recipe_is_refused(operator, policy):
    first = request_validation(policy)
    assert f"The recipe is being walked forward already: validation {first}." in shown(operator, START)
    assert f"Nothing was queued: This recipe is being walked forward already: validation {first}." in answered(
        operator, START, folds=8
    )
    assert Trial.objects.count() == 1


def test_validated_recipe_is_monitored_without_a_trial(operator, policy):
    validation = walked_forward(policy)
    text = shown(operator, START)
    assert f"The recipe is validated by validation {validation}." in text
    assert "is no trial and spends nothing" in text
    assert f"It monitors validation {validation}." in answered(operator, START, folds=8)
    assert Trial.objects.count() == 1


def test_validation_that_had_to_beat_less_is_replaced_by_a_trial(operator, policy):
    walked_forward(policy, must_beat=["flat"])
    assert "This is trial 2 on sp500" in shown(operator, START)
    assert "It is trial 2 on sp500." in answered(operator, START, folds=8)


def test_invalid_settings_are_named(operator, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    assert "The stored settings of rl_v3 are invalid. ppo.gamma" in shown(operator, START)
    assert "Nothing was done: the stored settings of rl_v3 are invalid." in answered(operator, START, folds=8)


def test_validation_is_cancelled_after_a_question(operator, policy):
    validation = request_validation(policy)
    url = f"/validations/{validation}/cancel/"
    text = shown(operator, url)
    assert "The validation gets no result but counts: trial 1 on sp500 has spent its level." in text
    assert f"Validation {validation} is cancelled." in answered(operator, url)
    assert "Nothing to cancel" in answered(operator, url)
    assert "The validation has ended already: cancelled." in shown(operator, url)


def test_cancelled_monitoring_leaves_the_validation(operator, policy):
    monitoring = walked_forward(policy, monitors=walked_forward(policy), status="queued", finished_at=None)
    assert "The validation that it monitors stays in force." in shown(operator, f"/validations/{monitoring}/cancel/")


@pytest.mark.parametrize("role", ["viewer", None])
def test_users_without_permission_start_and_cancel_nothing(signed_in, policy, role):
    validation = request_validation(policy)
    client = signed_in(role)
    assert client.post(START, {"folds": 8}).status_code == 403
    assert client.post(f"/validations/{validation}/cancel/").status_code == 403
    assert Validation.objects.get().status == "queued"
