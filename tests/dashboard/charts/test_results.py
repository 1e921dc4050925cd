"""Held-out results of versions: read from stored evaluations, described, and drawn over versions."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.charts.results import held_out, newest_results
from dashboard.templatetags.results import curve, standing
from rl_training.models import PolicyStore
from tests.dashboard.pages.page_rows import version_of
from tests.stored import finished_run

pytestmark = pytest.mark.django_db
SP500, NASDAQ = {"market": {"source": "sp500"}}, {"market": {"source": "nasdaq"}}


def evaluation(policy, hold=0.1, flat=0.0):
    return {
        "total_return": policy,
        "bars": 1006,
        "buy_and_hold": {"total_return": hold},
        "flat": {"total_return": flat},
    }


def versions(policy, *returns, config=SP500, first=1):
    for number, value in enumerate(returns, first):
        version_of(finished_run(policy, config=config, avg_reward=0.5), number, evaluation=evaluation(value))


def results_of(policy, versions=200):
    return newest_results([policy.pk], versions).get(policy.pk, [])


def test_newest_versions_are_read_in_their_order(policy):
    versions(policy, 0.1, 0.2, 0.3)
    assert [(one.number, one.policy, one.hold, one.flat, one.reward) for one in results_of(policy, 2)] == [
        (2, 0.2, 0.1, 0.0, 0.5),
        (3, 0.3, 0.1, 0.0, 0.5),
    ]
    assert results_of(PolicyStore.objects.create(name="other")) == []


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.2, "more than staying flat (0.00 %) and more than buy and hold (10.00 %)."),
        (0.05, "more than staying flat (0.00 %) and less than buy and hold (10.00 %)."),
        (0.0, "as much as staying flat (0.00 %) and less than buy and hold (10.00 %)."),
    ],
)
def test_result_is_compared_in_a_sentence(policy, value, sentence):
    versions(policy, value)
    [result] = results_of(policy)
    assert str(result) == f"Version 1 returned {100 * value:.2f} % on 1,006 held-out bars of sp500: {sentence}"


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.2, "above flat and buy and hold"), (0.05, "above flat only"), (-0.1, "above neither flat nor buy and hold")],
)
def test_standing_has_words_and_a_shape(policy, value, words):
    versions(policy, value)
    html = standing(results_of(policy)[0])
    assert words in html
    assert html.startswith('<span class="standing')
    assert 'aria-hidden="true">' in html


def test_results_are_read_once_from_the_stored_evaluations(policy):
    versions(policy, 0.1, 0.2)
    first = results_of(policy)
    with CaptureQueriesContext(connection) as queries:
        assert results_of(policy) == first
    assert not [query for query in queries if "evaluation" in query["sql"]]


def test_versions_of_different_markets_are_not_joined(policy):
    versions(policy, 0.1, 0.2)
    versions(policy, 0.3, config=NASDAQ, first=3)
    data = held_out(results_of(policy))
    assert [one.label for one in data.series[:3]] == ["Policy, sp500", "Policy, nasdaq", "Buy and hold, sp500"]
    assert [one.values for one in data.series[:2]] == [[0.1, 0.2, None], [None, None, 0.3]]
    assert data.summary.startswith("3 versions, 2 of them above flat and buy and hold. Version 3 returned 30.00 %")
    assert curve(results_of(policy)) == ""


@pytest.mark.parametrize("stored", [{}, [], "text", {"total_return": "x", "bars": [], "flat": 3}])
def test_unreadable_evaluation_has_no_result(policy, stored):
    version_of(finished_run(policy), evaluation=stored)
    [result] = results_of(policy)
    assert (result.policy, result.hold, result.flat, str(result)) == (
        None, None, None, "No evaluation is stored with version 1."
    )  # fmt: skip
    assert held_out([result]).summary == "There is nothing to show yet."


def test_curve_says_what_it_shows(policy):
    versions(policy, 0.1, 0.2)
    assert 'aria-label="Held-out return of the last 2 versions, from 10.00 % to 20.00 %"' in curve(results_of(policy))
