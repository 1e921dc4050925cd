"""Keeps streams and table equal: lost entries are replayed from the table, and old events are removed from both.

A small hash in Redis, the cursor, holds the Redis server that beat saw last (its `run_id` changes at each start) and
the time. It shows how much a restarted Redis may have lost:

- Without a cursor, Redis came back empty. All events are replayed.
- With the cursor of another server, Redis came back with its saved data. Entries that were written before that cursor
  are there, so the events that were published since the cursor's time are replayed.

The script of `relay.py` skips the events that are still there. The cursor holds the position of a replay too: a replay
continues after a restart of beat, and starts again with a Redis that loses entries once more.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import structlog
from django.conf import settings
from django.db.models import Min, Q, QuerySet

from quantum_trader.redis_clients import redis_client
from rl_training.files import artifacts, checkpoints
from rl_training.models import TrainingEvent, TrainingRun, ValidationStep
from rl_training.streams import relay

log = structlog.get_logger(__name__)

# Running systems hold these keys, so their names stay.
CURSOR = "quantum_trader:mark"
LOCK = "quantum_trader:turn"
PURGED = "quantum_trader:purged"
# The end and the key of the last run whose artifacts were checked. Without it, all ended runs are checked again.
ARTIFACTS_CHECKED = "quantum_trader:artifacts_checked"
PURGE_EVERY_SECONDS = 60
# The clocks of the machines that write `published_at` may differ by this much.
CLOCK_DIFFERENCE = timedelta(minutes=10)
# The longest time of a replay in each housekeeping: while events are replayed, slots are delayed by at most this.
REPLAY_SECONDS = 1.0
PURGE_BATCH = 1000
# An attempt that lost its run to another worker may still store an artifact for a while.
ARTIFACTS_KEPT_FOR = timedelta(days=1)
# Runs whose artifacts one purge checks.
ARTIFACT_BATCH = 100
# KEYS: the cursor; ARGV: the server, the first event of the batch, the first event of the next batch or nothing. When
# Redis lost entries after the batch was read, the cursor differs from the arguments and stays as it is.
ADVANCE = """
local cursor = redis.call('HMGET', KEYS[1], 'server', 'replay')
if cursor[1] ~= ARGV[1] or cursor[2] ~= ARGV[2] then
    return 0
end
if ARGV[3] == '' then
    redis.call('HDEL', KEYS[1], 'replay')
else
    redis.call('HSET', KEYS[1], 'replay', ARGV[3])
end
return 1
"""


def maintain(now: datetime) -> None:
    """Detect lost entries, replay them, and purge events and files once a minute.

    Does nothing while another beat holds the lock. Raises `redis.RedisError` when Redis cannot be reached.
    """
    if not acquire(LOCK, settings.STREAM_LOCK_SECONDS):
        return
    detect_loss(now)
    replay()
    if acquire(PURGED, PURGE_EVERY_SECONDS):
        purge(now)
        remove_lost_artifacts(now)


def acquire(key: str, seconds: float) -> bool:
    """Set the key for so many seconds; return False when it is set already."""
    if redis_client().set(key, "1", nx=True, px=round(1000 * seconds)):
        return True
    # Redis stores the time at which a key expires. A clock that was set back since then would keep the key for hours.
    if redis_client().pttl(key) > 1000 * seconds:
        redis_client().delete(key)
    return False


def detect_loss(now: datetime) -> None:
    """Write the cursor, with the first event that Redis may have lost since the cursor was written last."""
    # redis-py never replaces a watched connection silently: the answers and the write concern the same server.
    with redis_client().pipeline() as pipe:
        cast(Any, pipe).watch(CURSOR)
        cursor = cast(dict[str, str], pipe.hgetall(CURSOR))
        server = cast(dict[str, str], pipe.info("server"))["run_id"]
        seen: dict[Any, Any] = {"server": server, "seen": str(now.timestamp())}
        if cursor.get("server") != server and (lost := _first_lost(cursor, now)) is not None:
            seen["replay"] = str(min(lost, int(cursor.get("replay", lost))))
            log.warning("Redis may have lost events, replaying them", first=int(seen["replay"]), empty=not cursor)
        pipe.multi()
        pipe.hset(CURSOR, mapping=seen)
        pipe.execute()


def _first_lost(cursor: dict[str, str], now: datetime) -> int | None:
    """Return the key of the oldest event that may be missing, or None when there is no event.

    Unpublished events count, because another process may be publishing them. A cursor from the future was written
    before the clock was set back: then every event may be missing.
    """
    published = TrainingEvent.objects.all()
    seen = datetime.fromtimestamp(float(cursor["seen"]), UTC) if cursor else None
    if seen is not None and seen <= now + CLOCK_DIFFERENCE:
        since = seen - CLOCK_DIFFERENCE
        published = published.filter(Q(published_at__gte=since) | Q(published_at=None))
    first: int | None = published.aggregate(first=Min("pk"))["first"]
    return first


def replay(seconds: float = REPLAY_SECONDS) -> int:
    """Continue a replay, oldest event first, for about `seconds`, but for at least one batch.

    Returns the number of events that were added or found on their streams.
    """
    offered, deadline = 0, time.monotonic() + seconds
    while True:
        server, first = redis_client().hmget(CURSOR, ["server", "replay"])
        if first is None or (offered and time.monotonic() >= deadline):
            return offered
        batch = list(_events_from(int(first))[: relay.BATCH])
        _offer(batch)
        offered += len(batch)
        following = str(batch[-1].pk + 1) if len(batch) == relay.BATCH else ""
        redis_client().eval(ADVANCE, 1, CURSOR, str(server), first, following)
        if not following:
            log.info("Events are on their streams again")


def _offer(batch: list[TrainingEvent]) -> None:
    """Add a batch to the streams; an event that Redis refuses becomes unpublished, and is relayed again later."""
    refused = {event.pk for event in batch} - {event.pk for event in relay.add(batch)}
    if refused:
        TrainingEvent.objects.filter(pk__in=refused).update(published_at=None)


def _events_from(first: int) -> QuerySet[TrainingEvent]:
    entry = ("event_id", "event_type", "timestamp", "payload", "deployment", "decision", "run__run_id")
    events = (
        TrainingEvent.objects.filter(pk__gte=first).order_by("pk").select_related("run", "validation", "arm_comparison")
    )
    return events.only(*entry, "validation__validation_id", "arm_comparison__comparison_id")


def purge(now: datetime) -> int:
    """Delete published events older than EVENT_RETENTION_DAYS, with their entries, and files of runs of the same age.

    Returns the number of deleted events, at most PURGE_BATCH. Entries are removed before rows, so that an interrupted
    purge is repeated. They are removed by event id, because the entry id of a replayed event holds the time of the
    replay. The runs stay.
    """
    cutoff = now - timedelta(days=settings.EVENT_RETENTION_DAYS)
    # The primary key follows the time closely enough to find old events without another index.
    oldest = TrainingEvent.objects.order_by("pk").only("event_id", "event_type", "timestamp", "published_at")
    old = [event for event in oldest[:PURGE_BATCH] if event.published_at is not None and event.timestamp < cutoff]
    if old:
        relay.remove(old, before=cutoff)
        TrainingEvent.objects.filter(pk__in=[event.pk for event in old]).delete()
        log.info("Deleted old events", number=len(old), older_than=cutoff.isoformat())
    try:
        active = {*TrainingRun.objects.active().values_list("run_id", flat=True)}
        active |= {*ValidationStep.objects.active().values_list("step_id", flat=True)}
        files = checkpoints.remove_old(cutoff, active)
    except OSError as error:
        log.error("Old files of runs cannot be deleted", error=str(error))
    else:
        if files:
            log.info("Deleted old files of runs", number=files, older_than=cutoff.isoformat())
    return len(old)


def remove_lost_artifacts(now: datetime) -> int:
    """Delete artifacts that no version refers to, of runs that ended a day ago, and return their number.

    Each call checks ARTIFACT_BATCH runs, from where the last call ended. Only runs of the table are checked: after a
    restore of an older database, the artifacts of newer runs stay.
    """
    until = now - ARTIFACTS_KEPT_FOR
    finished_at, pk = cast(str, redis_client().get(ARTIFACTS_CHECKED) or f"{datetime.fromtimestamp(0, UTC)}/0").split(
        "/"
    )
    after = datetime.fromisoformat(finished_at), int(pk)
    runs = list(TrainingRun.objects.with_lost_artifacts(after, until)[:ARTIFACT_BATCH])
    try:
        removed = artifacts.remove_unreferenced(runs)
    except OSError as error:
        log.error("Artifacts that no version refers to cannot be deleted", error=str(error))
        return 0
    if removed:
        log.info("Deleted artifacts that no version refers to", number=len(removed), names=removed)
    last = (runs[-1].finished_at, runs[-1].pk) if len(runs) == ARTIFACT_BATCH else (until, 0)
    redis_client().set(ARTIFACTS_CHECKED, f"{last[0]}/{last[1]}")
    return len(removed)
