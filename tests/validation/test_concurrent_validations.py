"""Requests and ends at the same time, each with its own connection. The tests run on PostgreSQL only."""

import pytest

from rl_training.models import Trial, Validation
from rl_training.validation import steps
from rl_training.validation.requesting import AlreadyValidatingError
from rl_training.worker import validating
from tests import databases
from tests.clients_at_once import CLIENTS, in_threads
from tests.validation.test_steps import FOLDS, MARKET
from tests.validations import claim_next, request_validation, small_policy

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not databases.SERVER, reason="SQLite has one writer, and no threads share its test database"),
]


def test_parallel_trials_on_a_market_spend_different_levels(policy):
    in_threads(lambda client: request_validation(policy, changes={"seeds": client + 1}))
    assert sorted(Trial.objects.values_list("number", flat=True)) == list(range(1, CLIENTS + 1))
    assert len(set(Trial.objects.values_list("level", flat=True))) == CLIENTS


def test_parallel_requests_of_one_recipe_make_one_trial(policy):
    refused = []

    def request(client):
        try:
            request_validation(policy)
        except AlreadyValidatingError as error:
            refused.append(error.validation)

    in_threads(request)
    assert (Trial.objects.count(), Validation.objects.count()) == (1, 1)
    assert refused == [Validation.objects.get()] * (CLIENTS - 1)


def test_same_bars_under_several_names_are_walked_forward_under_one(policy):
    claimed = []
    for client in range(CLIENTS):
        found = request_validation(small_policy(f"small_{client}"), folds=2, changes={"seeds": client + 1})
        Validation.objects.filter(pk=found.pk).update(market_key=str(client))
        claimed.append(claim_next(found))
    in_threads(lambda client: validating.execute(claimed[client], lambda: False))
    assert sorted(Validation.objects.values_list("status", flat=True)) == ["failed"] * (CLIENTS - 1) + ["running"]


def test_folds_that_end_together_queue_one_judgement(policy):
    validation = request_validation(policy, folds=2)
    steps.prepared(claim_next(validation), MARKET, FOLDS, 64, False)
    claimed = [claim_next(validation) for _ in FOLDS]
    ended = []

    def end(client):
        if client < len(claimed):
            ended.append(steps.fold_trained(claimed[client], MARKET, None, {}))

    in_threads(end)
    assert ended == [True, True]
    assert validation.steps.filter(kind="judge").count() == 1


def test_cancellation_that_races_the_end_of_a_fold_leaves_nothing_queued(policy):
    validation = request_validation(policy, folds=2)
    steps.prepared(claim_next(validation), MARKET, FOLDS, 64, False)
    claimed = [claim_next(validation) for _ in FOLDS]

    def race(client):
        if client < len(claimed):
            steps.fold_trained(claimed[client], MARKET, None, {})
        elif client == len(claimed):
            steps.cancel(validation)

    in_threads(race)
    validation.refresh_from_db()
    assert validation.status == "cancelled"
    assert not validation.steps.filter(status__in=["queued", "running"]).exists()
