"""Events: rows written with the change that they announce, relayed to Redis streams after the commit.

Promised: an event's row is added to its stream at least once, and never while the stream holds it already, however
late and however often it is sent again. Beside each stream a hash remembers the entry of each event; the script that
adds an event looks that entry up in the stream itself, and fills the hash from the stream where it is missing. So there
is nothing that could expire, and a stream that lost entries, or all of them, takes them again (`retention.py`).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

import redis
import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.retry import Retry

from rl_training.core import fault_points
from rl_training.models import TrainingEvent, TrainingRun

log = structlog.get_logger(__name__)

# An entry's id, and its fields.
Entry = tuple[str, dict[str, str]]

# KEYS: the stream, the hash of its entries by event; ARGV: the entry's fields and values, `event_id` first.
ADD_ONCE = """
local stream, entries, event = KEYS[1], KEYS[2], ARGV[2]
if redis.call('EXISTS', entries) == 0 then
    local from = '-'
    repeat
        local page = redis.call('XRANGE', stream, from, '+', 'COUNT', 1000)
        for _, entry in ipairs(page) do
            redis.call('HSET', entries, entry[2][2], entry[1])
            from = '(' .. entry[1]
        end
    until #page == 0
end
local known = redis.call('HGET', entries, event)
if known and #redis.call('XRANGE', stream, known, known) > 0 then
    return 0
end
redis.call('HSET', entries, event, redis.call('XADD', stream, '*', unpack(ARGV)))
return 1
"""
# KEYS as above; ARGV: a moment, then ids of events. What is older and comes first in the stream goes too: a Redis that
# lost its last second may have lost a removal.
REMOVE = """
local stream, entries, moment = KEYS[1], KEYS[2], ARGV[1]
local function remove(event, entry)
    redis.call('XDEL', stream, entry)
    redis.call('HDEL', entries, event)
end
for i = 2, #ARGV do
    local known = redis.call('HGET', entries, ARGV[i])
    if known then
        remove(ARGV[i], known)
    end
end
for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', 100)) do
    local event, timestamp = entry[2][2], entry[2][8]
    if timestamp and timestamp < moment then
        remove(event, entry[1])
    end
end
"""
# Sent to Redis, and marked as published, at a time.
BATCH = 500
# Enough for a dashboard to show the last minutes; progress is not a record.
PROGRESS_ENTRIES = 1000
PROGRESS_KEPT = timedelta(days=1)


def client() -> redis.Redis:
    """One client, and its pool of connections, per process; a Redis that does not answer is given up on in seconds.

    A connection that broke while it was not used is replaced at once; a time-out is not waited for twice.
    """
    return _client(settings.REDIS_URL)


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        protocol=3,
        legacy_responses=False,
        socket_timeout=5,
        socket_connect_timeout=5,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


def utc(moment: datetime) -> str:
    """ISO 8601 with `Z`: 2025-01-31T12:00:00.123456Z."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def write(run: TrainingRun, kind: str, payload: dict[str, Any]) -> TrainingEvent:
    """Add the event `<policy>.training.<kind>` to the current transaction; it is relayed after the commit."""
    now = timezone.now()
    event = TrainingEvent.objects.create(
        event_type=f"{run.policy.name}.training.{kind}",
        run=run,
        timestamp=now,
        payload=payload | {"timestamp": utc(now)},
    )
    after_commit(lambda: relay(event))
    return event


def after_commit(do: Callable[[], object]) -> None:
    """Do it once the present transaction is committed. Its failure is logged: to the caller the change has happened.

    Django wants no `functools.partial` here: it asks what fails for its name.
    """
    transaction.on_commit(do, robust=True)


def relay(event: TrainingEvent) -> bool:
    """Add the event to its stream and note that it is there; False when that cannot be done now."""
    fault_points.reach("before_relay")
    return bool(_relay([event]))


def relay_unpublished(before: datetime, after: int = 0, limit: int = 1000) -> int:
    """Relay, oldest first, what the writers could not: up to `limit` events whose keys are above `after`.

    Returns the key to go on after; 0, to begin anew, when there are no more or Redis is away. So events that Redis
    refuses each time keep no later ones back, however many they are.
    """
    for _ in range(0, limit, BATCH):
        left_over = TrainingEvent.objects.unpublished(before).filter(pk__gt=after).select_related("run")
        batch = list(left_over[:BATCH])
        if not batch or _relay(batch) is None or len(batch) < BATCH:
            return 0
        after = batch[-1].pk
    return after


def _relay(events: Sequence[TrainingEvent]) -> list[TrainingEvent] | None:
    """Those that are on their streams now; None: Redis is away."""
    try:
        on_stream = add(events)
    except redis.RedisError as error:
        log.warning("Events wait for Redis", run_id=events[0].run.run_id, number=len(events), error=str(error))
        return None
    TrainingEvent.objects.filter(pk__in=[event.pk for event in on_stream]).update(published_at=timezone.now())
    for event in on_stream:
        log.info(f"Published {event.event_type} event", run_id=event.run.run_id)
    return on_stream


def add(events: Iterable[TrainingEvent]) -> list[TrainingEvent]:
    """Add each event to its stream unless the stream holds it; returns those that are there now, in order.

    An event that Redis refuses, as when its stream's key holds something else, does not keep back the others. Raises
    `redis.RedisError` when Redis cannot be reached; some may have been added then.
    """
    events = list(events)
    pipe = client().pipeline(transaction=False)
    for event in events:
        pipe.eval(ADD_ONCE, 2, event.event_type, entries_key(event.event_type), *_fields(event))
    answers = pipe.execute(raise_on_error=False)
    refused = {event: answer for event, answer in zip(events, answers, strict=True) if isinstance(answer, Exception)}
    if refused:
        event, error = next(iter(refused.items()))
        log.error(
            f"{event.event_type} event was refused", run_id=event.run.run_id, number=len(refused), error=str(error)
        )
    return [event for event in events if event not in refused]


def remove(events: Iterable[TrainingEvent], before: datetime) -> None:
    """Take the entries of these events off their streams, and what is left there of others from before that moment.

    Raises `redis.RedisError`.
    """
    by_stream: dict[str, list[str]] = {}
    for event in events:
        by_stream.setdefault(event.event_type, []).append(str(event.event_id))
    pipe = client().pipeline(transaction=False)
    for stream, ids in by_stream.items():
        pipe.eval(REMOVE, 2, stream, entries_key(stream), utc(before), *ids)
    pipe.execute()


def entries_key(stream: str) -> str:
    """Of the hash that remembers which entry of the stream is which event's."""
    return f"quantum_trader:entries:{stream}"


def _fields(event: TrainingEvent) -> list[str]:
    entry = {
        "event_id": str(event.event_id),
        "event_type": event.event_type,
        "trace_id": event.run.run_id,
        "timestamp": utc(event.timestamp),
        "payload": json.dumps(event.payload),
    }
    return [part for pair in entry.items() for part in pair]


def progress(run: TrainingRun, entry: dict[str, Any]) -> bool:
    """Announce progress on `<policy>.training.progress`: capped, best effort, no row. False: Redis did not take it.

    The stream is gone a while after its last entry.
    """
    stream = f"{run.policy.name}.training.progress"
    pipe = client().pipeline(transaction=False)
    pipe.xadd(stream, {"run_id": run.run_id, "payload": json.dumps(entry)}, maxlen=PROGRESS_ENTRIES)
    pipe.expire(stream, PROGRESS_KEPT)
    try:
        pipe.execute()
    except redis.RedisError as error:
        log.debug("Progress was not announced", run_id=run.run_id, error=str(error))
        return False
    return True


def stored(stream: str) -> list[Entry]:
    """All entries of a stream, oldest first."""
    return cast(list[Entry], client().xrange(stream))


def read(after: dict[str, str], block: int) -> dict[str, list[Entry]]:
    """New entries of each stream after the given ids, waiting up to `block` milliseconds for the first."""
    return cast(dict[str, list[Entry]], client().xread(cast(Any, after), block=block) or {})
