from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from celery_app import app
from rl_training.files import checkpoints
from rl_training.models import TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from rl_training.schedule.scheduler import PolicyStoreScheduler
from rl_training.streams import relay, retention
from rl_training.streams.entries import stored
from tests.active_runs import claimed_run, queued_run
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

STARTED, COMPLETED = "rl_v3.training.started", "rl_v3.training.completed"


@pytest.fixture
def server(tmp_path: Path, settings) -> Iterator[RedisServer]:
    """A Redis that the test may stop and restart, and that the project uses meanwhile."""
    server = RedisServer(tmp_path)
    server.start()
    settings.REDIS_URL = server.url
    yield server
    server.kill()


def failed_run(policy) -> TrainingRun:
    """Return a run that started and failed, with two events."""
    run = claimed_run(policy)
    lifecycle.fail(run, "no bars")
    return run


def on_stream(stream: str) -> list[str]:
    """Return the run ids of the stream's entries, oldest first."""
    return [fields["trace_id"] for _, fields in stored(stream)]


def age(**delta: int) -> None:
    """Set the times of writing and publishing of all events to the given time ago."""
    past = timezone.now() - timedelta(**delta)
    TrainingEvent.objects.update(timestamp=past, published_at=past)


def replayed() -> int:
    """Detect lost events and replay them; return the number of events that were offered to Redis again."""
    retention.detect_loss(timezone.now())
    return retention.replay()


def test_redis_that_came_back_empty_gets_all_events_oldest_first(policy, server):
    runs = [failed_run(policy).run_id for _ in range(3)]
    replayed()
    server.restart(keeping=0)
    assert server.client.keys() == []
    assert replayed() == 6
    assert on_stream(STARTED) == runs
    assert on_stream(COMPLETED) == runs
    assert replayed() == 0


def test_event_relayed_before_the_replay_is_not_doubled(policy, streams):
    first = failed_run(policy)
    replayed()
    streams.flushall()
    second = failed_run(policy)
    replayed()
    assert on_stream(STARTED) == [second.run_id, first.run_id]


def test_events_lost_from_the_end_of_the_append_only_file_are_replayed(policy, server):
    early = failed_run(policy)
    age(hours=1)
    replayed()
    kept = server.append_only_file.stat().st_size
    late = failed_run(policy)
    assert server.client.xlen(STARTED) == 2
    server.restart(keeping=kept)
    assert on_stream(STARTED) == [early.run_id]
    assert replayed() == 2
    assert on_stream(STARTED) == [early.run_id, late.run_id]
    assert on_stream(COMPLETED) == [early.run_id, late.run_id]


def test_restart_without_loss_doubles_no_event(policy, server):
    failed_run(policy)
    replayed()
    server.restart()
    assert replayed() == 2
    assert (server.client.xlen(STARTED), server.client.xlen(COMPLETED)) == (1, 1)


def test_same_redis_gets_no_second_replay(policy, streams):
    failed_run(policy)
    assert [replayed(), replayed()] == [2, 0]


def test_replay_continues_at_its_position(policy, streams, monkeypatch):
    runs = [failed_run(policy).run_id for _ in range(3)]
    streams.flushall()
    monkeypatch.setattr(relay, "BATCH", 2)
    retention.detect_loss(timezone.now())
    assert retention.replay(seconds=0) == 2
    assert on_stream(STARTED) == runs[:1]
    assert retention.replay(seconds=0) == 2
    assert retention.replay() == 2
    assert on_stream(STARTED) == runs


def test_replay_starts_again_when_redis_loses_entries_meanwhile(policy, server, monkeypatch):
    runs = [failed_run(policy).run_id for _ in range(3)]
    server.restart(keeping=0)
    monkeypatch.setattr(relay, "BATCH", 2)
    retention.detect_loss(timezone.now())
    add = relay.add

    def lost_after_adding(batch):
        added = add(batch)
        server.restart(keeping=0)
        retention.detect_loss(timezone.now())  # by another beat
        monkeypatch.setattr(relay, "add", add)
        return added

    monkeypatch.setattr(relay, "add", lost_after_adding)
    assert retention.replay(seconds=30) == 8
    assert on_stream(STARTED) == runs


def test_event_that_redis_refuses_in_a_replay_is_relayed_later(policy, streams):
    failed_run(policy)
    streams.flushall()
    streams.set(STARTED, "not a stream")
    replayed()
    assert streams.xlen(COMPLETED) == 1
    assert TrainingEvent.objects.get(published_at=None).event_type == STARTED
    streams.delete(STARTED)
    relay.relay_unpublished(before=timezone.now())
    assert streams.xlen(STARTED) == 1


def test_one_of_several_beats_maintains_the_streams_at_a_time(policy, streams):
    failed_run(policy)
    retention.maintain(timezone.now())
    streams.delete(retention.CURSOR)
    retention.maintain(timezone.now())
    assert not streams.exists(retention.CURSOR)
    assert 0 < streams.ttl(retention.LOCK) <= 4


def test_beat_replays_and_purges(policy, streams, settings):
    old = failed_run(policy)
    age(days=31)
    new = failed_run(policy)
    streams.flushall()
    PolicyStoreScheduler(app).do_housekeeping(timezone.now())
    assert on_stream(STARTED) == [new.run_id]
    assert set(TrainingEvent.objects.values_list("run__run_id", flat=True)) == {new.run_id}
    assert TrainingRun.objects.filter(pk=old.pk).exists()
    assert 0 < streams.ttl(retention.PURGED) <= 60


def test_table_and_stream_hold_the_same_events_after_a_purge(policy, streams):
    old = failed_run(policy)
    age(days=31)
    new = failed_run(policy)
    assert retention.purge(timezone.now()) == 2
    assert list(TrainingEvent.objects.order_by("id").values_list("event_type", "run__run_id")) == [
        (STARTED, new.run_id),
        (COMPLETED, new.run_id),
    ]
    assert on_stream(STARTED) == on_stream(COMPLETED) == [new.run_id]
    assert streams.hlen(relay.entries_key(STARTED)) == 1
    assert TrainingRun.objects.get(pk=old.pk).status == "failed"
    assert retention.purge(timezone.now()) == 0


def test_old_files_of_ended_runs_are_removed(policy, streams, settings, tmp_path):
    settings.CHECKPOINT_ROOT = tmp_path
    over = failed_run(policy)
    active = queued_run(policy)
    names = [f"{over.run_id}-1.safetensors", f".{over.run_id}-1.safetensors.0f.tmp", f"{active.run_id}-1.safetensors"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / f"{over.run_id}.events").mkdir()
    retention.purge(timezone.now() + timedelta(days=29))
    assert len(list(tmp_path.iterdir())) == 4
    retention.purge(timezone.now() + timedelta(days=31))
    assert [path.name for path in tmp_path.iterdir()] == [names[2]]


def test_old_files_that_are_no_files_of_runs_stay_in_a_shared_folder(policy, streams, settings, tmp_path):
    settings.CHECKPOINT_ROOT = tmp_path
    (tmp_path / "rl_v3").mkdir()
    (tmp_path / "market-bars").mkdir()
    (tmp_path / "btcusdt.csv").touch()
    (tmp_path / "db.sqlite3").touch()
    retention.purge(timezone.now() + timedelta(days=31))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["btcusdt.csv", "db.sqlite3", "market-bars", "rl_v3"]


def test_removal_that_redis_lost_is_repeated(policy, server):
    failed_run(policy)
    age(days=31)
    kept = server.append_only_file.stat().st_size
    assert retention.purge(timezone.now() + timedelta(days=31)) == 2
    server.restart(keeping=kept)
    assert server.client.xlen(STARTED) == 1
    failed_run(policy)
    assert retention.purge(timezone.now() + timedelta(days=31)) == 2
    assert (server.client.xlen(STARTED), server.client.hlen(relay.entries_key(STARTED))) == (0, 0)


def test_replayed_event_is_purged_by_its_own_age(policy, streams):
    failed_run(policy)
    age(days=29)
    streams.flushall()
    replayed()
    assert retention.purge(timezone.now()) == 0
    assert retention.purge(timezone.now() + timedelta(days=2)) == 2
    assert (streams.xlen(STARTED), streams.xlen(COMPLETED)) == (0, 0)


def test_unpublished_event_is_not_purged(policy, streams):
    failed_run(policy)
    TrainingEvent.objects.filter(event_type=STARTED).update(published_at=None)
    assert retention.purge(timezone.now() + timedelta(days=400)) == 1
    assert TrainingEvent.objects.get().event_type == STARTED


def test_beat_logs_that_redis_is_away_and_continues(policy, server, caplog):
    failed_run(policy)
    server.kill()
    assert PolicyStoreScheduler(app).tick() <= 1
    assert "Redis error, trying again" in caplog.text


def test_lock_from_before_the_clock_was_set_back_is_ignored(policy, streams):
    failed_run(policy)
    retention.maintain(timezone.now() + timedelta(days=1))
    streams.expire(retention.LOCK, 86400)
    streams.delete(STARTED)
    streams.hset(retention.CURSOR, "server", "another")
    for _ in range(2):
        retention.maintain(timezone.now())
    assert (streams.xlen(STARTED), streams.xlen(COMPLETED)) == (1, 1)


def test_files_that_cannot_be_deleted_are_logged(policy, monkeypatch, caplog):
    def fail(*_):
        raise PermissionError(13, "Permission denied", "checkpoints")

    monkeypatch.setattr(checkpoints, "remove_old", fail)
    assert retention.purge(timezone.now()) == 0
    assert "Permission denied" in caplog.text
