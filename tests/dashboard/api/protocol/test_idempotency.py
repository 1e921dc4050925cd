from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.models import IdempotencyKey, PolicyStore, TrainingRun
from rl_training.runs import idempotency, lifecycle
from tests.api_clients import client_of, problem, trigger

pytestmark = pytest.mark.django_db


def test_same_key_and_request_returns_the_same_run(operator):
    first = trigger(operator, "k", episodes=3)
    again = trigger(operator, "k", episodes=3)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert TrainingRun.objects.count() == 1


def test_same_key_returns_the_same_run_after_its_end(operator):
    run_id = trigger(operator, "k").json()["run_id"]
    lifecycle.cancel(TrainingRun.objects.get())
    found = trigger(operator, "k").json()
    assert (found["run_id"], found["status"]) == (run_id, "cancelled")


def test_same_key_with_another_request_is_refused(operator):
    PolicyStore.objects.create(name="other")
    trigger(operator, "k")
    assert problem(trigger(operator, "k", seed=1), 422)["type"] == "urn:quantum-trader:problem:idempotency-key-reused"
    problem(trigger(operator, "k", policy="other"), 422)
    assert TrainingRun.objects.count() == 1


def test_another_key_makes_another_request(operator):
    trigger(operator, "k")
    problem(trigger(operator, "l"), 409)
    lifecycle.cancel(TrainingRun.objects.get())
    assert trigger(operator, "l").status_code == 201


def test_same_key_of_another_user_makes_another_request(operator):
    trigger(operator, "k")
    problem(trigger(client_of("admin"), "k"), 409)


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "\x7f", "é"])
def test_key_must_be_visible_ascii_without_spaces(operator, key):
    assert problem(trigger(operator, key), 400)["errors"][0]["field"] == "Idempotency-Key"
    assert not TrainingRun.objects.exists()


def test_keys_are_deleted_after_a_day(operator):
    trigger(operator, "old")
    IdempotencyKey.objects.update(created_at=timezone.now() - idempotency.KEPT_FOR - timedelta(minutes=1))
    lifecycle.cancel(TrainingRun.objects.get())
    trigger(operator, "new")
    assert IdempotencyKey.objects.get().key == "new"
