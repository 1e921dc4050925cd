"""Events: rows written with the change that they announce, relayed to Redis streams after the commit.

Delivery is at least once for the rows and exactly once for the stream while Redis keeps its data: a script adds the
entry only if the event's id was not added before, so that two relays of one event make one entry.
"""

import json
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, cast

import redis
import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from rl_training.models import TrainingEvent, TrainingRun

log = structlog.get_logger(__name__)

# An entry's id, and its fields.
Entry = tuple[str, dict[str, str]]

# A day outlasts every relay that may still be under way with the same event.
REMEMBER_SECONDS = 24 * 3600
ADD_ONCE = """
if redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[1]) then
    return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
end
"""
# Enough for a dashboard to show the last minutes; progress is not a record.
PROGRESS_ENTRIES = 1000


@cache
def client() -> redis.Redis:
    """One client, and its pool of connections, per process; a Redis that does not answer is given up on in seconds."""
    return redis.Redis.from_url(
        settings.REDIS_URL, decode_responses=True, protocol=3, socket_timeout=5, socket_connect_timeout=5
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
    transaction.on_commit(partial(relay, event))
    return event


def relay(event: TrainingEvent) -> bool:
    """Add the event to its stream and note that it is there; False when Redis cannot be reached now."""
    entry = {
        "event_id": str(event.event_id),
        "event_type": event.event_type,
        "trace_id": event.run.run_id,
        "timestamp": utc(event.timestamp),
        "payload": json.dumps(event.payload),
    }
    fields = [part for pair in entry.items() for part in pair]
    try:
        client().eval(
            ADD_ONCE, 2, event.event_type, f"quantum_trader:event:{event.event_id}", str(REMEMBER_SECONDS), *fields
        )
    except redis.RedisError as error:
        log.warning(f"{event.event_type} event waits for Redis", run_id=event.run.run_id, error=str(error))
        return False
    TrainingEvent.objects.filter(pk=event.pk).update(published_at=timezone.now())
    log.info(f"Published {event.event_type} event", run_id=event.run.run_id)
    return True


def relay_unpublished(before: datetime, limit: int = 1000) -> int:
    """Relay, oldest first, what the writers could not; stop at the first that fails. Returns how many."""
    relayed = 0
    for event in TrainingEvent.objects.unpublished(before).select_related("run")[:limit]:
        if not relay(event):
            break
        relayed += 1
    return relayed


def progress(run: TrainingRun, entry: dict[str, Any]) -> None:
    """Announce progress on `<policy>.training.progress`: capped, best effort, no row."""
    stream = f"{run.policy.name}.training.progress"
    try:
        client().xadd(stream, {"run_id": run.run_id, "payload": json.dumps(entry)}, maxlen=PROGRESS_ENTRIES)
    except redis.RedisError as error:
        log.debug("Progress was not announced", run_id=run.run_id, error=str(error))


def stored(stream: str) -> list[Entry]:
    """All entries of a stream, oldest first."""
    return cast(list[Entry], client().xrange(stream))


def read(after: dict[str, str], block: int) -> dict[str, list[Entry]]:
    """New entries of each stream after the given ids, waiting up to `block` milliseconds for the first."""
    return cast(dict[str, list[Entry]], client().xread(cast(Any, after), block=block) or {})
