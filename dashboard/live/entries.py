"""Entries of the policies' Redis streams, read in one order, and their form as server-sent events."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import redis.asyncio

from rl_training.streams import names

# The kind of each server-sent event by the kind of its stream. Within a millisecond, the start of a run comes first.
KINDS = {
    names.STARTED: "started",
    names.PROGRESS: "progress",
    names.COMPLETED: "completed",
    names.CHANGED: "deployment",
    names.DECIDED: "decision",
    names.COMPARED: "comparison",
}
ORDER = list(KINDS)
OF_RUNS = {"started", "progress", "completed"}
# The largest second part of an entry's id.
LAST = 2**64 - 1
ENTRIES_AT_ONCE = 500

# Milliseconds on the Redis server's clock, and the number of the entry within its stream's millisecond.
Id = tuple[int, int]


class Entry(NamedTuple):
    id: Id
    stream: str
    fields: dict[str, str]


def streams_of(policies: Iterable[str]) -> list[str]:
    return names.streams(policies, KINDS)


def policy_of(stream: str) -> str:
    return stream.removesuffix(f".{kind_of(stream)}")


def kind_of(stream: str) -> str:
    """Return the kind of a policy's stream, such as `training.started`."""
    return ".".join(stream.rsplit(".", 2)[1:])


def parse(text: str) -> Id | None:
    """Return the id written in the text, or None when the text is not an id."""
    found = re.fullmatch(r"([0-9]{1,15})-([0-9]{1,20})", text)
    return (int(found[1]), min(int(found[2]), LAST)) if found else None


def formatted(entry: Id) -> str:
    return f"{entry[0]}-{entry[1]}"


def before(milliseconds: int) -> Id:
    """Return the largest id before the millisecond."""
    return (milliseconds - 1, LAST) if milliseconds > 0 else (0, 0)


async def read(
    client: "redis.asyncio.Redis", after: dict[str, Id], block: int | None = None
) -> tuple[list[Entry], bool]:
    """Return the entries after the given id of each stream, oldest first across streams, and whether there are more.

    The entries are complete up to the last returned entry. Updates `after` to the last returned id of each stream.
    Waits up to `block` milliseconds for the first entry. Raises `redis.RedisError`.
    """
    wanted: dict[Any, Any] = {stream: formatted(position) for stream, position in after.items()}
    found = cast(
        dict[str, list[tuple[str, dict[str, str] | None]]],
        await client.xread(wanted, count=ENTRIES_AT_ONCE, block=block) if wanted else {},
    )
    rows = {
        stream: [(cast(Id, parse(name)), fields) for name, fields in listed] for stream, listed in (found or {}).items()
    }
    # A stream with more entries than were read at once may hold older entries than the last ones of other streams.
    cut = [listed[-1][0] for listed in rows.values() if len(listed) >= ENTRIES_AT_ONCE]
    entries = [
        Entry(position, stream, fields or {})
        for stream, listed in rows.items()
        for position, fields in listed
        if not cut or position <= min(cut)
    ]
    entries.sort(key=lambda entry: (entry.id, ORDER.index(kind_of(entry.stream))))
    for entry in entries:
        after[entry.stream] = entry.id
    return entries, bool(cut)


def event(entry: Entry, cursor: Id) -> bytes:
    """Return the entry as a server-sent event whose id is `cursor`, where a client that reconnects resumes."""
    fields, kind = entry.fields, KINDS[kind_of(entry.stream)]
    data = {
        "policy": policy_of(entry.stream),
        "run_id": fields.get("run_id", fields.get("trace_id")) if kind in OF_RUNS else None,
        "entry": formatted(entry.id),
        "payload": payload(fields.get("payload", "")),
    }
    return f"id: {formatted(cursor)}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def message(kind: str, data: Any) -> bytes:
    """Return a server-sent event that belongs to no stream entry; the page fetches its content again."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def heartbeat(cursor: Id) -> bytes:
    """Return a comment with an id: no event in the browser, but the browser resumes from the id."""
    return f":\nid: {formatted(cursor)}\n\n".encode()


def payload(text: str) -> Any:
    """Return the value of a JSON text, with null for NaN and infinities, or None when the text is not JSON."""
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None
