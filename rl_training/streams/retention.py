"""Streams hold what the table holds: lost entries are replayed, and old events leave both.

A small hash in Redis, the mark, says which server was seen last (its run_id changes at each start), and when. Redis
came back empty: there is no mark, and all events are replayed. It came back with what it had saved: all that was
written before the mark that it holds is there, so the events published since that mark are offered again, whether it
lost its last second or its last hour. The script of `relay.py` drops what is still there.

How far a replay has come stands in the mark too: it goes on after a restart of beat, and starts anew with a Redis that
was lost once more.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import structlog
from django.conf import settings
from django.db.models import Min, Q, QuerySet

from quantum_trader.redis_clients import redis_client
from rl_training.files import checkpoints
from rl_training.models import TrainingEvent, TrainingRun
from rl_training.streams import relay

log = structlog.get_logger(__name__)

MARK = "quantum_trader:mark"
TURN = "quantum_trader:turn"
PURGED = "quantum_trader:purged"
PURGE_EVERY_SECONDS = 60
# The machines that note when an event was published may have clocks that differ.
CLOCKS_DIFFER_BY = timedelta(minutes=10)
# Every 5 s, of a beat that has slots to look after: a slot is late by no more while events are replayed.
REPLAY_SECONDS = 1.0
PURGE_BATCH = 1000
# KEYS: the mark; ARGV: the server, where the batch started, where the next starts or nothing. A Redis that was lost
# since the batch was read has another mark, which stands.
ADVANCE = """
local mark = redis.call('HMGET', KEYS[1], 'server', 'replay')
if mark[1] ~= ARGV[1] or mark[2] ~= ARGV[2] then
    return 0
end
if ARGV[3] == '' then
    redis.call('HDEL', KEYS[1], 'replay')
else
    redis.call('HSET', KEYS[1], 'replay', ARGV[3])
end
return 1
"""


def look_after(now: datetime) -> None:
    """Notice a Redis that lost entries, replay them, purge once a minute; nothing while another beat does that.

    Raises `redis.RedisError` when Redis cannot be reached.
    """
    if not _is_first(TURN, settings.STREAM_LOCK_SECONDS):
        return
    notice(now)
    replay()
    if _is_first(PURGED, PURGE_EVERY_SECONDS):
        purge(now)


def _is_first(key: str, seconds: float) -> bool:
    """Whether nobody took the key in the last seconds; it is taken."""
    if redis_client().set(key, "1", nx=True, px=round(1000 * seconds)):
        return True
    # Redis keeps the moment at which a key expires: a clock that was set back since puts it off.
    if redis_client().pttl(key) > 1000 * seconds:
        redis_client().delete(key)
    return False


def notice(now: datetime) -> None:
    """Note that Redis was seen at `now`, and from which event on it may have lost some since it was seen last."""
    # A watched connection is never replaced silently: what is asked and what is written concern one server.
    with redis_client().pipeline() as pipe:
        cast(Any, pipe).watch(MARK)
        mark = cast(dict[str, str], pipe.hgetall(MARK))
        server = cast(dict[str, str], pipe.info("server"))["run_id"]
        seen: dict[Any, Any] = {"server": server, "seen": str(now.timestamp())}
        if mark.get("server") != server and (lost := _first_lost(mark, now)) is not None:
            seen["replay"] = str(min(lost, int(mark.get("replay", lost))))
            log.warning("Redis may have lost events, replaying them", first=int(seen["replay"]), empty=not mark)
        pipe.multi()
        pipe.hset(MARK, mapping=seen)
        pipe.execute()


def _first_lost(mark: dict[str, str], now: datetime) -> int | None:
    """The oldest event that was added since the mark was written; what is not published may be under way.

    A mark from the future, of before the clock was set back, says nothing of when.
    """
    published = TrainingEvent.objects.all()
    seen = datetime.fromtimestamp(float(mark["seen"]), UTC) if mark else None
    if seen is not None and seen <= now + CLOCKS_DIFFER_BY:
        since = seen - CLOCKS_DIFFER_BY
        published = published.filter(Q(published_at__gte=since) | Q(published_at=None))
    first: int | None = published.aggregate(first=Min("pk"))["first"]
    return first


def replay(seconds: float = REPLAY_SECONDS) -> int:
    """Go on with a replay, oldest first, for about so long, and a batch at least; returns how many were offered."""
    offered, deadline = 0, time.monotonic() + seconds
    while True:
        server, first = redis_client().hmget(MARK, ["server", "replay"])
        if first is None or (offered and time.monotonic() >= deadline):
            return offered
        batch = list(_from(int(first))[: relay.BATCH])
        _offer(batch)
        offered += len(batch)
        following = str(batch[-1].pk + 1) if len(batch) == relay.BATCH else ""
        redis_client().eval(ADVANCE, 1, MARK, str(server), first, following)
        if not following:
            log.info("Events are on their streams again")


def _offer(batch: list[TrainingEvent]) -> None:
    """Add a batch to the streams; what Redis refuses counts as not published, and is relayed again."""
    refused = {event.pk for event in batch} - {event.pk for event in relay.add(batch)}
    if refused:
        TrainingEvent.objects.filter(pk__in=refused).update(published_at=None)


def _from(first: int) -> QuerySet[TrainingEvent]:
    entry = ("event_id", "event_type", "timestamp", "payload", "run__run_id")
    return TrainingEvent.objects.filter(pk__gte=first).order_by("pk").select_related("run").only(*entry)


def purge(now: datetime) -> int:
    """Delete events older than EVENT_RETENTION_DAYS that were relayed, with their entries; returns how many.

    Files of runs that nobody has touched for as long go too.

    Up to PURGE_BATCH in one call. Entries go first: a purge that ends in between is repeated. They go one by one, as
    the id of an entry that was replayed says when that was, and not how old its event is. The runs stay.
    """
    cutoff = now - timedelta(days=settings.EVENT_RETENTION_DAYS)
    # The primary key is in the order of time, nearly: no index is needed to find the old ones.
    oldest = TrainingEvent.objects.order_by("pk").only("event_id", "event_type", "timestamp", "published_at")
    old = [event for event in oldest[:PURGE_BATCH] if event.published_at is not None and event.timestamp < cutoff]
    if old:
        relay.remove(old, before=cutoff)
        TrainingEvent.objects.filter(pk__in=[event.pk for event in old]).delete()
        log.info("Deleted old events", number=len(old), older_than=cutoff.isoformat())
    try:
        files = checkpoints.remove_old(cutoff, set(TrainingRun.objects.active().values_list("run_id", flat=True)))
    except OSError as error:
        log.error("Old files of runs cannot be deleted", error=str(error))
    else:
        if files:
            log.info("Deleted old files of runs", number=files, older_than=cutoff.isoformat())
    return len(old)
