"""The tab of the verdict, and the pages of walk-forwards."""

import pytest
from django.utils import timezone

from rl_training.models import PolicyStore, Validation
from rl_training.validation import steps
from tests.dashboard.charts.walked import RESULT
from tests.dashboard.pages.page_text import words
from tests.stored import MARKUP, finished_run, store_raw, walked_forward
from tests.validations import claim_next, request_validation

pytestmark = pytest.mark.django_db
TAB = "/policies/rl_v3/validation/"
VALIDATED = "Validated: over 2,500 bars it beat flat (p = 0.001) and buy and hold (p = 0.002), each below 0.03."


def validated(policy, **columns):
    return walked_forward(policy, result=RESULT, judgement={"sentence": VALIDATED}, bars=5000, **columns)


def with_folds(policy):
    """Request a validation and let a worker plan two folds of its bars."""
    validation = request_validation(policy, folds=2)
    prepare = claim_next(validation)
    now = timezone.now()
    prepare.status = "succeeded"
    prepare.save()
    for number in range(2):
        bars = {"train_begin": 0, "train_end": 300 + number}
        validation.steps.create(
            kind="fold", number=number, fold=bars, first_traded_at=now, last_traded_at=now, iterations=8
        )
    return validation


def test_untried_recipe_shows_the_level_of_its_first_trial(page, policy):
    text = words(page(TAB))
    assert "No walk-forward of this recipe has a verdict: nothing shows that retraining it earns anything" in text
    assert "No new version goes live by itself until the recipe is validated." in text
    assert "Trials on sp500 Trials so far none The next trial may spend 0.0304" in text
    assert "Left for all later trials 0.05 of 0.05" in text
    assert "An operator can walk the recipe forward." in text


def test_verdict_comes_first_then_curves_tests_and_trials(page, policy):
    validation = validated(policy)
    html = page(TAB)
    text = words(html)
    parts = (
        VALIDATED,
        "Each new version goes live by itself if it passes the guards.",
        "At the end: walk-forward 1.200, buy and hold 1.050, flat 1.000.",
        "Flat 8.00 0.001 1 required yes",
        "A reference is beaten if its p-value is below 0.0304, which trial 1 may spend.",
        "Total return 20.00 % 5.00 % 0.00 %",
        "Spread over the seeds",
        "0.971, the probability that the Sharpe ratio is above what luck gives the best of 3 recipes",
        "Trials so far 1 of 1 recipe",
        f"{validation} sp500 1 succeeded validated",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert f"/validations/{validation}/charts/equity.json" in html
    assert "data-waits" not in html


def test_recipe_of_one_member_has_no_spread(page, policy):
    performances = {name: found for name, found in RESULT["performances"].items() if not name.startswith("member_")}
    walked_forward(policy, "inconclusive", result=RESULT | {"performances": performances})
    assert "The recipe trains one member, so the influence of chance is unknown." in words(page(TAB))


def test_folds_are_shown_while_they_are_trained(page, client, policy):
    validation = with_folds(policy)
    text = words(page(TAB))
    assert "The walk-forward is running: 0 of 2 folds trained." in text
    claimed = claim_next(validation)
    assert "300 running" in words(page(TAB))
    validation.steps.filter(pk=claimed.pk).update(status="succeeded", seconds=4.2)
    again = client.get(TAB, headers={"HX-Request": "true"}).content.decode()
    assert "The walk-forward is running: 1 of 2 folds trained." in words(again)
    assert "300 trained 4.2 s 2" in words(again)
    assert "301 queued" in words(again)
    assert "data-waits" in again
    assert "data-waits" in page(f"/validations/{validation}/")


def test_earlier_verdict_stands_while_another_walk_forward_is_under_way(page, policy):
    validated(policy, verdict="inconclusive")
    running = with_folds(policy)
    text = words(page(TAB))
    assert text.index(VALIDATED) < text.index(f"Validation {running} : The walk-forward is running")
    assert f"The 2 folds of validation {running}" in text


def test_changed_recipe_names_the_validation_of_the_former_recipe(page, policy):
    validation = validated(policy)
    policy.episodes_per_run += 1
    policy.save_settings("episodes_per_run")
    text = words(page(TAB))
    assert f"Validation {validation} validated another recipe of this policy, and holds for that recipe alone." in text
    assert "episodes 2 3" not in text


def test_stricter_must_beat_makes_an_earlier_validation_inconclusive(page, policy):
    validated(policy, must_beat=["flat"])
    assert "The validation did not have to beat everything that must_beat names now" in words(page(TAB))


def test_validation_in_force_counts_whatever_a_stricter_trial_said_later(page, policy):
    validation = validated(policy)
    walked_forward(policy, "inconclusive", must_beat=["flat", "buy_and_hold", "trained_once"])
    text = words(page(TAB))
    assert VALIDATED in text
    assert f"The 2 folds of validation {validation}" in text


def test_ended_validation_says_when_and_why(page, policy):
    ended = {"ended_at": timezone.now(), "ended_because": "its account fell behind flat"}
    validated(policy, **ended)
    text = words(page(TAB))
    assert ": its account fell behind flat. New versions are held back, because the validation has ended." in text


def test_failed_walk_forward_says_why(page, policy):
    walked_forward(policy, "", error=f"fold 2: no bars {MARKUP}")
    html = page(TAB)
    assert MARKUP not in html
    assert "failed: fold 2: no bars" in words(html)


def test_policy_with_invalid_settings_has_its_tab(page, policy):
    store_raw(policy, "market", {"source": "no such"})
    assert "No walk-forward of this recipe has a verdict" in words(page(TAB))


def test_page_of_a_validation_shows_its_recipe_and_what_differs_now(page, policy):
    validation = validated(policy, config={"episodes": 7, "ppo": {"gamma": 0.5}})
    text = words(page(f"/validations/{validation}/"))
    assert text.index(VALIDATED) < text.index("Trial 1 on sp500.")
    assert "episodes 7 2" in text
    assert "ppo.gamma 0.5 0.99" in text
    assert "May spend 0.0304 of 0.05" in text


def test_recipe_that_is_no_object_is_no_error(page, policy):
    validation = validated(policy, config=[1])
    assert "Trial 1 on sp500." in words(page(f"/validations/{validation}/"))


def test_gate_only_proposes_where_two_users_decide(page, policy, settings):
    settings.PROMOTION_NEEDS_TWO = True
    validated(policy)
    assert "Each new version that passes the guards is proposed" in words(page(TAB))


def test_monitoring_links_to_the_validation_and_back(page, policy):
    validation = validated(policy)
    watched = {"bars": 300, "p_below_flat": 0.6, "ends": ""}
    monitoring = walked_forward(policy, monitors=validation, judgement=watched)
    text = words(page(f"/validations/{monitoring}/"))
    assert "The validation stands: on the 300 bars since then its account has not lost significantly" in text
    assert f"No trial: this walk-forward monitors validation {validation} and can only end that validation." in text
    assert f"Monitoring Requested Validation Market Trial Status Verdict 0 s ago {monitoring}" in words(
        page(f"/validations/{validation}/")
    )


@pytest.mark.parametrize("result", [None, [], {}, {"timestamps": 3, "folds": "x", "performances": {"flat": 1}}])
def test_unreadable_result_is_no_error(page, policy, result):
    validation = walked_forward(policy, result=result)
    page(TAB)
    page(f"/validations/{validation}/")


def test_validations_of_all_policies_are_listed_newest_first(page, policy):
    other = PolicyStore.objects.create(name="other")
    first, second = walked_forward(policy), walked_forward(other, "refused")
    text = words(page("/validations/"))
    assert text.index(str(second)) < text.index(str(first))
    assert f"{second} other sp500 2 succeeded refused" in text


@pytest.mark.parametrize("url", ["/validations/000000000000/", "/validations/x/charts/equity.json"])
def test_unknown_validation_is_not_found(client, viewer, url):
    client.force_login(viewer)
    assert client.get(url).status_code == 404


def test_estimate_follows_the_last_run(page, signed_in, policy):
    operator = signed_in("operator")
    assert "the duration is known after the first successful run" in words(operator.get(TAB).content.decode())
    steps_of_run = policy.training_config().total_timesteps
    finished_run(policy, duration_seconds=10.0, environment_steps=steps_of_run)
    assert "about 1 min 20 s of one training process" in words(operator.get(TAB).content.decode())


def test_last_fold_ends_the_wait(page, policy):
    validation = with_folds(policy)
    steps.cancel(validation)
    assert "data-waits" not in page(TAB)
    assert Validation.objects.get().status == "cancelled"
