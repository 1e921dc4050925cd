from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.utils import timezone

from celery_app import app
from rl_training.models import TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from rl_training.schedule.scheduler import PolicyStoreScheduler
from rl_training.streams import relay, retention
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

STARTED, COMPLETED = "rl_v3.training.started", "rl_v3.training.completed"


@pytest.fixture
def server(tmp_path: Path, settings) -> Iterator[RedisServer]:
    """A Redis of this test's own, which the project uses meanwhile."""
    server = RedisServer(tmp_path)
    server.start()
    settings.REDIS_URL = server.url
    yield server
    server.kill()


def run(policy) -> TrainingRun:
    """A run that started and failed: two events."""
    run = lifecycle.claim(lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False).run_id)
    lifecycle.fail(run, "no bars")
    return run


def on_stream(client: "redis.Redis", stream: str) -> list[str]:
    """The ids of the runs that its entries are of, oldest first."""
    return [fields["trace_id"] for _, fields in client.xrange(stream)]


def age(**delta: int) -> None:
    """All events were written, and published, so long ago."""
    past = timezone.now() - timedelta(**delta)
    TrainingEvent.objects.update(timestamp=past, published_at=past)


def offered(now=None) -> int:
    """How many events the housekeeping offers again."""
    retention.notice(now or timezone.now())
    return retention.replay()


def test_a_redis_that_came_back_empty_gets_all_events_oldest_first(policy, server):
    runs = [run(policy).run_id for _ in range(3)]
    offered()
    server.restart(keeping=0)
    assert server.client.keys() == []
    assert offered() == 6
    assert on_stream(server.client, STARTED) == runs
    assert on_stream(server.client, COMPLETED) == runs
    assert offered() == 0


def test_what_was_announced_before_the_replay_is_not_doubled(policy, streams):
    first = run(policy)
    offered()
    streams.flushall()
    second = run(policy)
    offered()
    assert on_stream(streams, STARTED) == [second.run_id, first.run_id]


def test_a_restart_that_lost_the_end_of_the_append_only_file_loses_no_event(policy, server):
    early = run(policy)
    age(hours=1)
    offered()
    kept = server.append_only_file.stat().st_size
    late = run(policy)
    assert server.client.xlen(STARTED) == 2
    server.restart(keeping=kept)
    assert on_stream(server.client, STARTED) == [early.run_id]
    assert offered() == 2
    assert on_stream(server.client, STARTED) == [early.run_id, late.run_id]
    assert on_stream(server.client, COMPLETED) == [early.run_id, late.run_id]


def test_a_restart_that_lost_nothing_doubles_nothing(policy, server):
    run(policy)
    offered()
    server.restart()
    assert offered() == 2
    assert (server.client.xlen(STARTED), server.client.xlen(COMPLETED)) == (1, 1)


def test_the_same_redis_is_offered_nothing_by_another_beat_or_a_new_one(policy, streams):
    run(policy)
    assert [offered(), offered()] == [2, 0]


def test_a_replay_goes_on_where_it_stopped(policy, streams, monkeypatch):
    runs = [run(policy).run_id for _ in range(3)]
    streams.flushall()
    monkeypatch.setattr(relay, "BATCH", 2)
    retention.notice(timezone.now())
    assert retention.replay(seconds=0) == 2
    assert on_stream(streams, STARTED) == runs[:1]
    assert retention.replay(seconds=0) == 2
    assert retention.replay() == 2
    assert on_stream(streams, STARTED) == runs


def test_a_replay_that_a_lost_redis_interrupts_starts_anew(policy, server, monkeypatch):
    runs = [run(policy).run_id for _ in range(3)]
    server.restart(keeping=0)
    monkeypatch.setattr(relay, "BATCH", 2)
    retention.notice(timezone.now())
    add = relay.add

    def lost_after_adding(batch):
        added = add(batch)
        server.restart(keeping=0)
        retention.notice(timezone.now())  # by another beat
        monkeypatch.setattr(relay, "add", add)
        return added

    monkeypatch.setattr(relay, "add", lost_after_adding)
    assert retention.replay(seconds=30) == 8
    assert on_stream(server.client, STARTED) == runs


def test_an_event_that_redis_refuses_in_a_replay_is_relayed_later(policy, streams):
    run(policy)
    streams.flushall()
    streams.set(STARTED, "not a stream")
    offered()
    assert streams.xlen(COMPLETED) == 1
    assert TrainingEvent.objects.get(published_at=None).event_type == STARTED
    streams.delete(STARTED)
    relay.relay_unpublished(before=timezone.now())
    assert streams.xlen(STARTED) == 1


def test_one_of_several_beats_looks_after_the_streams_at_a_time(policy, streams):
    run(policy)
    retention.look_after(timezone.now())
    streams.delete(retention.MARK)
    retention.look_after(timezone.now())
    assert not streams.exists(retention.MARK)
    assert 0 < streams.ttl(retention.TURN) <= 4


def test_beat_replays_and_purges(policy, streams, settings):
    old = run(policy)
    age(days=31)
    new = run(policy)
    streams.flushall()
    PolicyStoreScheduler(app).look_after(timezone.now())
    assert on_stream(streams, STARTED) == [new.run_id]
    assert set(TrainingEvent.objects.values_list("run__run_id", flat=True)) == {new.run_id}
    assert TrainingRun.objects.filter(pk=old.pk).exists()
    assert 0 < streams.ttl(retention.PURGED) <= 60


def test_table_and_stream_hold_the_same_after_a_purge(policy, streams):
    old = run(policy)
    age(days=31)
    new = run(policy)
    assert retention.purge(timezone.now()) == 2
    assert list(TrainingEvent.objects.order_by("id").values_list("event_type", "run")) == [
        (STARTED, new.pk),
        (COMPLETED, new.pk),
    ]
    assert on_stream(streams, STARTED) == on_stream(streams, COMPLETED) == [new.run_id]
    assert streams.hlen(relay.entries_key(STARTED)) == 1
    assert TrainingRun.objects.get(pk=old.pk).status == "failed"
    assert retention.purge(timezone.now()) == 0


def test_old_files_of_runs_that_are_over_are_removed(policy, streams, settings, tmp_path):
    settings.CHECKPOINT_ROOT = tmp_path
    over = run(policy)
    active = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False)
    names = [f"{over.run_id}-1.safetensors", f".{over.run_id}-1.safetensors.0f.tmp", f"{active.run_id}-1.safetensors"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / f"{over.run_id}.events").mkdir()
    retention.purge(timezone.now() + timedelta(days=29))
    assert len(list(tmp_path.iterdir())) == 4
    retention.purge(timezone.now() + timedelta(days=31))
    assert [path.name for path in tmp_path.iterdir()] == [names[2]]


def test_a_removal_that_redis_lost_is_made_up_for(policy, server):
    run(policy)
    age(days=31)
    kept = server.append_only_file.stat().st_size
    assert retention.purge(timezone.now() + timedelta(days=31)) == 2
    server.restart(keeping=kept)
    assert server.client.xlen(STARTED) == 1
    run(policy)
    assert retention.purge(timezone.now() + timedelta(days=31)) == 2
    assert (server.client.xlen(STARTED), server.client.hlen(relay.entries_key(STARTED))) == (0, 0)


def test_an_event_that_was_replayed_leaves_by_its_own_age(policy, streams):
    run(policy)
    age(days=29)
    streams.flushall()
    offered()
    assert retention.purge(timezone.now()) == 0
    assert retention.purge(timezone.now() + timedelta(days=2)) == 2
    assert (streams.xlen(STARTED), streams.xlen(COMPLETED)) == (0, 0)


def test_an_event_that_was_not_relayed_is_kept_whatever_its_age(policy, streams):
    run(policy)
    TrainingEvent.objects.filter(event_type=STARTED).update(published_at=None)
    assert retention.purge(timezone.now() + timedelta(days=400)) == 1
    assert TrainingEvent.objects.get().event_type == STARTED


def test_a_redis_that_is_away_is_an_error_that_beat_reports_and_survives(policy, server, caplog):
    run(policy)
    server.kill()
    assert PolicyStoreScheduler(app).tick() <= 1
    assert "Redis error, trying again" in caplog.text


def test_a_clock_that_was_set_back_keeps_nobody_from_looking_after_the_streams(policy, streams):
    run(policy)
    retention.look_after(timezone.now() + timedelta(days=1))
    streams.expire(retention.TURN, 86400)
    streams.delete(STARTED)
    streams.hset(retention.MARK, "server", "another")
    for _ in range(2):
        retention.look_after(timezone.now())
    assert (streams.xlen(STARTED), streams.xlen(COMPLETED)) == (1, 1)


def test_files_that_cannot_be_deleted_are_told_of_and_end_nothing(policy, monkeypatch, caplog):
    def fail(*_):
        raise PermissionError(13, "Permission denied", "checkpoints")

    monkeypatch.setattr(retention.checkpoints, "remove_old", fail)
    assert retention.purge(timezone.now()) == 0
    assert "Permission denied" in caplog.text
