"""The relay: copies events from the database to their Redis streams, and removes old ones there.

Each event is added to its stream at least once, and never while the stream still holds it, however late and however
often the event is relayed. A hash beside each stream maps event ids to entry ids. The script that adds an event looks
up the entry in the stream itself, and rebuilds a missing hash from the stream. Neither hash nor entries expire, so
entries that a stream lost can be added again at any time (see `retention.py`).
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import redis
import structlog
from django.utils import timezone

from quantum_trader.redis_clients import redis_client
from quantum_trader.timestamps import utc_text
from rl_training.core import fault_points
from rl_training.models import TrainingEvent

log = structlog.get_logger(__name__)

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
# KEYS as above; ARGV: a timestamp, then ids of events. Older entries at the start of the stream are removed too: a
# Redis that lost its last second of writes may have lost a removal.
REMOVE = """
local stream, entries, oldest = KEYS[1], KEYS[2], ARGV[1]
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
    if timestamp and timestamp < oldest then
        remove(event, entry[1])
    end
end
"""
# Events that are sent to Redis, and stored as published, together.
BATCH = 500


def relay(event: TrainingEvent) -> bool:
    """Add the event to its stream and store it as published; return False when Redis does not take it now."""
    fault_points.reach("before_relay")
    return bool(_relay([event]))


def relay_all(events: Sequence[TrainingEvent]) -> None:
    """Add the events to their streams and store them as published, as far as Redis takes them now."""
    for first in range(0, len(events), BATCH):
        _relay(events[first : first + BATCH])


def relay_unpublished(before: datetime, after: int = 0, limit: int = 1000) -> int:
    """Relay up to `limit` events that were written before `before` and are not published, oldest first.

    Only events whose primary keys are above `after` are read. Returns the key for the next call, or 0 when no event is
    left or Redis is down. So events that Redis always refuses do not keep later events waiting.
    """
    for _ in range(0, limit, BATCH):
        unpublished = (
            TrainingEvent.objects.unpublished(before)
            .filter(pk__gt=after)
            .select_related("run", "validation", "arm_comparison")
        )
        batch = list(unpublished[:BATCH])
        if not batch or _relay(batch) is None or len(batch) < BATCH:
            return 0
        after = batch[-1].pk
    return after


def _relay(events: Sequence[TrainingEvent]) -> list[TrainingEvent] | None:
    """Return the events that are on their streams now, or None while Redis is away."""
    try:
        on_stream = add(events)
    except redis.RedisError as error:
        log.warning("Events wait for Redis", **context(events[0]), number=len(events), error=str(error))
        return None
    TrainingEvent.objects.filter(pk__in=[event.pk for event in on_stream]).update(published_at=timezone.now())
    for event in on_stream:
        log.info(f"Published {event.event_type} event", **context(event))
    return on_stream


def add(events: Iterable[TrainingEvent]) -> list[TrainingEvent]:
    """Add each event to its stream unless the stream holds it; return the events on their streams, in order.

    An event that Redis refuses, for example because its stream's key holds another type, does not stop the others.
    Raises `redis.RedisError` when Redis cannot be reached; some events may have been added by then.
    """
    events = list(events)
    pipe = redis_client().pipeline(transaction=False)
    for event in events:
        pipe.eval(ADD_ONCE, 2, event.event_type, entries_key(event.event_type), *_fields(event))
    answers = pipe.execute(raise_on_error=False)
    refused = {event: answer for event, answer in zip(events, answers, strict=True) if isinstance(answer, Exception)}
    if refused:
        event, error = next(iter(refused.items()))
        log.error(f"{event.event_type} event was refused", **context(event), number=len(refused), error=str(error))
    return [event for event in events if event not in refused]


def remove(events: Iterable[TrainingEvent], before: datetime) -> None:
    """Remove the entries of these events from their streams, and other entries there that are older than `before`.

    Raises `redis.RedisError`.
    """
    by_stream: dict[str, list[str]] = {}
    for event in events:
        by_stream.setdefault(event.event_type, []).append(str(event.event_id))
    pipe = redis_client().pipeline(transaction=False)
    for stream, ids in by_stream.items():
        pipe.eval(REMOVE, 2, stream, entries_key(stream), utc_text(before), *ids)
    pipe.execute()


def entries_key(stream: str) -> str:
    """Return the key of the hash that maps event ids to the stream's entry ids."""
    return f"quantum_trader:entries:{stream}"


def context(event: TrainingEvent) -> dict[str, Any]:
    """Return the fields of a log line that name the event's subject."""
    if event.validation:
        return {"validation_id": event.validation.validation_id}
    if event.run:
        return {"run_id": event.run.run_id}
    if event.arm_comparison:
        return {"comparison_id": event.arm_comparison.comparison_id}
    return {"deployment": event.deployment_id} if event.deployment_id else {"decision": event.decision_id}


def _fields(event: TrainingEvent) -> list[str]:
    entry = {
        "event_id": str(event.event_id),
        "event_type": event.event_type,
        "trace_id": event.trace_id,
        "timestamp": utc_text(event.timestamp),
        "payload": json.dumps(event.payload),
    }
    return [part for pair in entry.items() for part in pair]
