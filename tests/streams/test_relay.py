import json
import socket
import time
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from rl_training.models import PolicyStore, TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from rl_training.streams import progress, relay
from tests.active_runs import claimed_run, queued_run

pytestmark = pytest.mark.django_db(transaction=True)

STARTED = "rl_v3.training.started"


@pytest.fixture
def started(policy, streams) -> TrainingEvent:
    """Return the started event of a run, written and relayed."""
    claimed_run(policy)
    return TrainingEvent.objects.select_related("run__policy").get()


def test_entry_has_the_documented_fields(started, streams):
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


def test_event_that_is_relayed_twice_has_one_entry(started, streams):
    assert relay.relay(started)
    assert streams.xlen(STARTED) == 1


def test_event_of_a_transaction_that_is_rolled_back_is_not_relayed(policy, streams):
    run = queued_run(policy)
    with transaction.atomic():
        lifecycle.claim(run.run_id)
        transaction.set_rollback(True)
    assert streams.xlen(STARTED) == 0


def test_event_dated_before_the_clock_was_set_back_is_relayed(policy, streams):
    claimed_run(policy)
    TrainingEvent.objects.update(published_at=None, timestamp=timezone.now() + timedelta(hours=1))
    relay.relay_unpublished(before=timezone.now())
    assert not TrainingEvent.objects.filter(published_at=None).exists()


def test_event_written_while_redis_is_away_is_relayed_later(policy, streams, settings):
    with_redis, settings.REDIS_URL = settings.REDIS_URL, "unix:///nonexistent/redis.sock"
    claimed_run(policy)
    settings.REDIS_URL = with_redis
    assert streams.xlen(STARTED) == 0
    assert TrainingEvent.objects.get().published_at is None
    assert relay.relay_unpublished(before=timezone.now() + timedelta(seconds=1)) == 0
    assert streams.xlen(STARTED) == 1
    assert not TrainingEvent.objects.filter(published_at=None).exists()


def test_progress_stream_is_capped_and_has_no_rows(policy, streams):
    run = queued_run(policy)
    for episode in range(progress.MAX_ENTRIES + 300):
        progress.publish(run, {"episode": episode})
    assert streams.xlen("rl_v3.training.progress") < progress.MAX_ENTRIES + 200
    assert TrainingEvent.objects.count() == 0


def test_keys_of_the_relay_do_not_expire(started, streams):
    assert {streams.ttl(key) for key in streams.scan_iter()} == {-1}
    assert relay.relay(started)
    assert streams.xlen(STARTED) == 1


def test_entry_that_the_stream_lost_is_added_again(started, streams):
    [(entry_id, _)] = streams.xrange(STARTED)
    streams.xdel(STARTED, entry_id)
    assert relay.relay(started)
    assert [fields["event_id"] for _, fields in streams.xrange(STARTED)] == [str(started.event_id)]


def test_lost_hash_of_entries_is_rebuilt_from_the_stream(started, streams):
    for number in range(2500):
        streams.xadd(STARTED, {"event_id": f"other {number}"})
    streams.delete(relay.entries_key(STARTED))
    assert relay.relay(started)
    assert streams.xlen(STARTED) == 2501


def test_event_that_redis_refuses_does_not_stop_the_others(policy, streams):
    other = PolicyStore.objects.create(name="other")
    streams.set(STARTED, "not a stream")
    for each in (policy, other):
        claimed_run(each)
    TrainingEvent.objects.update(published_at=None)
    relay.relay_unpublished(before=timezone.now() + timedelta(seconds=1))
    assert TrainingEvent.objects.get(published_at=None).event_type == STARTED


def test_more_refused_events_than_one_call_relays_do_not_stop_the_others(policy, streams):
    streams.set("refused", "not a stream")
    runs = TrainingRun.objects.bulk_create(
        TrainingRun(policy=policy, status="failed", trigger="command", episodes=1, config={}) for _ in range(2100)
    )
    TrainingEvent.objects.bulk_create(TrainingEvent(event_type="refused", run=run, payload={}) for run in runs)
    TrainingEvent.objects.create(event_type=STARTED, run=runs[0], payload={})
    before, after = timezone.now() + timedelta(seconds=1), 0
    passes = [after := relay.relay_unpublished(before, after) for _ in range(3)]
    assert streams.xlen(STARTED) == 1
    assert (passes[0] > 0, passes[2]) == (True, 0)
    assert TrainingEvent.objects.filter(published_at=None).count() == 2100


@pytest.mark.system
def test_relay_gives_up_on_a_redis_that_never_answers_in_10_seconds(started, tmp_path, settings):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "redis.sock"))
        silent.listen()
        settings.REDIS_URL = f"unix://{tmp_path}/redis.sock"
        began = time.monotonic()
        assert not relay.relay(started)
        assert 4 < time.monotonic() - began < 10
