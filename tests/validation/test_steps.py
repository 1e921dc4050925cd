from datetime import timedelta

import numpy as np
import pytest
from django.db.models.functions import Now
from django.utils import timezone

from rl_training.core.market.bars import MarketData
from rl_training.core.run.walk_forward.folds import Fold
from rl_training.models import TrainingEvent, Validation, ValidationStep
from rl_training.validation import steps
from tests.validations import claim_next, queued_steps, request_validation

pytestmark = pytest.mark.django_db

HOURS = np.datetime64("2026-01-01T00:00:00", "s") + np.arange(100) * np.timedelta64(3600, "s")
MARKET = MarketData(HOURS, *(np.full(100, 10.0) for _ in range(5)))
FOLDS = [Fold(number, 0, 40 + 20 * number, 60 + 20 * number, 80 + 20 * number) for number in range(2)]


@pytest.fixture
def validation(policy):
    return request_validation(policy, folds=2)


def prepare(validation, one_by_one=False):
    assert steps.prepared(claim_next(validation), MARKET, FOLDS, 64, one_by_one)


def train(validation, following=None):
    assert steps.fold_trained(claim_next(validation), MARKET, following, {"artifact": "a", "sha256": "b"})


def judge(validation, **columns):
    return steps.judged(claim_next(validation), columns, lambda ended: None)


def kinds(validation):
    return [(step.kind, step.number) for step in queued_steps(validation)]


def stored(validation):
    return Validation.objects.get(pk=validation.pk)


def test_prepared_validation_has_all_its_folds_queued(validation):
    prepare(validation)
    assert kinds(validation) == [("fold", 0), ("fold", 1)]
    found = stored(validation)
    assert (found.status, found.bars, found.bars_digest) == ("running", 100, MARKET.digest)
    assert (found.first_traded_at.isoformat(), found.bars_last.isoformat()) == (
        "2026-01-03T12:00:00+00:00",
        "2026-01-05T03:00:00+00:00",
    )


def test_folds_that_continue_are_queued_one_after_the_other(validation):
    prepare(validation, one_by_one=True)
    assert kinds(validation) == [("fold", 0)]
    train(validation, FOLDS[1])
    assert kinds(validation) == [("fold", 1)]
    train(validation)
    assert kinds(validation) == [("judge", 0)]


def test_last_trained_fold_queues_the_judgement(validation):
    prepare(validation)
    train(validation)
    assert kinds(validation) == [("fold", 1)]
    train(validation)
    assert kinds(validation) == [("judge", 0)]


def test_judged_validation_has_succeeded_and_says_so_in_one_event(validation):
    prepare(validation)
    train(validation)
    train(validation)
    judge(validation, verdict="validated", judgement={"p_above": {"flat": 0.01}, "level": 0.03})
    assert stored(validation).status == "succeeded"
    events = TrainingEvent.objects.filter(validation=validation).order_by("pk")
    assert [event.event_type for event in events] == ["rl_v3.validation.started", "rl_v3.validation.completed"]
    assert [event.trace_id for event in events] == [validation.validation_id] * 2
    payload = {name: value for name, value in events[1].payload.items() if name not in ("timestamp", "bars_last")}
    assert payload == {
        "validation_id": validation.validation_id,
        "policy": "rl_v3",
        "market": "sp500",
        "folds": 2,
        "trial": 1,
        "success": True,
        "verdict": "validated",
        "p_above": {"flat": 0.01},
        "level": 0.03,
    }


def test_failed_step_fails_the_validation_and_cancels_the_other_steps(validation):
    prepare(validation)
    assert steps.fail(claim_next(validation), "no memory")
    found = stored(validation)
    assert (found.status, found.error) == ("failed", "fold 1: no memory")
    assert sorted(validation.steps.values_list("status", flat=True)) == ["cancelled", "failed", "succeeded"]
    assert TrainingEvent.objects.get(event_type="rl_v3.validation.completed").payload["error"] == "fold 1: no memory"


def test_cancelled_validation_takes_its_steps_from_their_workers(validation):
    prepare(validation)
    claimed = claim_next(validation)
    assert steps.cancel(validation)
    assert not steps.fold_trained(claimed, MARKET, None, {"artifact": "a"})
    assert not steps.cancel(validation)
    assert stored(validation).status == "cancelled"


def test_validation_that_never_began_has_no_event(validation):
    steps.cancel(validation)
    assert TrainingEvent.objects.count() == 0


def test_end_of_a_lost_attempt_changes_nothing(validation):
    prepare(validation)
    lost = claim_next(validation)
    steps.release(lost)
    again = claim_next(validation)
    assert not steps.fold_trained(lost, MARKET, None, {"sha256": "lost"})
    assert steps.fold_trained(again, MARKET, None, {"sha256": "again"})
    assert validation.steps.get(kind="fold", number=0).sha256 == "again"


def lose(validation):
    claim_next(validation)
    ValidationStep.objects.filter(status="running").update(heartbeat_at=Now() - timedelta(minutes=1))
    steps.maintain(timezone.now(), may_reap=True)


def test_step_of_a_lost_worker_is_queued_again_and_the_third_loss_fails_it(validation, redis_server):
    lose(validation)
    lose(validation)
    assert kinds(validation) == [("prepare", 0)]
    lose(validation)
    assert (stored(validation).status, stored(validation).error) == ("failed", "worker lost in 3 attempts")


def test_step_without_heartbeat_stays_while_reaping_is_not_allowed(validation, redis_server):
    claim_next(validation)
    ValidationStep.objects.update(heartbeat_at=Now() - timedelta(minutes=1))
    steps.maintain(timezone.now(), may_reap=False)
    assert ValidationStep.objects.get().status == "running"


def sent():
    return ValidationStep.objects.filter(sent_at__isnull=False).count()


def test_workers_are_notified_of_few_steps_at_a_time(validation, redis_server, settings):
    settings.VALIDATION_STEPS_AT_ONCE = 1
    prepare(validation)
    steps.send_waiting()
    assert sent() == 1
    steps.send_waiting()
    assert sent() == 1
    train(validation)
    steps.send_waiting()
    assert ValidationStep.objects.get(kind="fold", number=1).sent_at is not None


def test_earlier_validation_comes_first(policy, validation, redis_server, settings):
    settings.VALIDATION_STEPS_AT_ONCE = 1
    later = request_validation(policy, changes={"seeds": 1})
    steps.send_waiting()
    assert validation.steps.get().sent_at is not None
    assert later.steps.get().sent_at is None


def test_lost_message_of_a_step_is_sent_again(validation, streams):
    steps.send_waiting()
    streams.flushall()
    long_ago = timezone.now() - timedelta(hours=1)
    ValidationStep.objects.update(sent_at=long_ago)
    steps.maintain(timezone.now(), may_reap=False)
    assert not ValidationStep.objects.filter(sent_at=long_ago).exists()


def test_message_of_an_ended_step_does_nothing(validation):
    step_id = queued_steps(validation)[0].step_id
    steps.cancel(validation)
    assert steps.claim(step_id) is None
    assert steps.claim("nothing") is None
