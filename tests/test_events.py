import json
from datetime import timedelta

import pytest
import redis
from django.db import transaction
from django.utils import timezone

from rl_training import events, lifecycle
from rl_training.models import TrainingEvent, TrainingRun

pytestmark = pytest.mark.django_db(transaction=True)

STARTED = "rl_v3.training.started"


@pytest.fixture
def started(policy, streams) -> TrainingEvent:
    """The started event of a run, written and relayed."""
    lifecycle.claim(lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND).run_id)
    return TrainingEvent.objects.select_related("run__policy").get()


def test_an_entry_has_the_documented_fields(started, streams):
    [(_, entry)] = streams.xrange(STARTED)
    assert list(entry) == ["event_id", "event_type", "trace_id", "timestamp", "payload"]
    assert entry["event_id"] == str(started.event_id)
    assert (entry["event_type"], entry["trace_id"]) == (STARTED, started.run.run_id)
    assert entry["timestamp"].endswith("Z")
    assert json.loads(entry["payload"]) == {
        "run_id": started.run.run_id,
        "policy": "rl_v3",
        "episodes": 2,
        "timestamp": entry["timestamp"],
    }


def test_relaying_an_event_twice_makes_one_entry(started, streams):
    assert events.relay(started)
    assert streams.xlen(STARTED) == 1


def test_an_event_of_a_run_that_is_rolled_back_is_never_announced(policy, streams):
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    with transaction.atomic():
        lifecycle.claim(run.run_id)
        transaction.set_rollback(True)
    assert streams.xlen(STARTED) == 0


def test_what_could_not_be_relayed_is_relayed_later(policy, streams, monkeypatch):
    dead = redis.Redis(unix_socket_path="/nonexistent/redis.sock")
    with monkeypatch.context() as patch:
        patch.setattr(events, "client", lambda: dead)
        lifecycle.claim(lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND).run_id)
    assert streams.xlen(STARTED) == 0
    assert TrainingEvent.objects.get().published_at is None
    assert events.relay_unpublished(before=timezone.now() + timedelta(seconds=1)) == 1
    assert streams.xlen(STARTED) == 1
    assert events.relay_unpublished(before=timezone.now() + timedelta(seconds=1)) == 0


def test_progress_is_capped_and_needs_no_row(policy, streams):
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    for episode in range(events.PROGRESS_ENTRIES + 300):
        events.progress(run, {"episode": episode})
    assert streams.xlen("rl_v3.training.progress") < events.PROGRESS_ENTRIES + 200
    assert TrainingEvent.objects.count() == 0
