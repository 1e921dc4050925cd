"""Entries of the policies' streams, read in one order and written as server-sent events."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import redis.asyncio

KINDS = ("started", "progress", "completed")
MARK = ".training."
# The largest second part of an entry's id.
LAST = 2**64 - 1
ENTRIES_AT_ONCE = 500

# Milliseconds by the clock of Redis, and the number within that millisecond.
Id = tuple[int, int]


class Entry(NamedTuple):
    id: Id
    stream: str
    fields: dict[str, str]


def streams_of(policies: Iterable[str]) -> list[str]:
    return [f"{policy}{MARK}{kind}" for policy in policies for kind in KINDS]


def policy_of(stream: str) -> str:
    return stream.rpartition(MARK)[0]


def parse(text: str) -> Id | None:
    """The id that a text is; None: it is none."""
    found = re.fullmatch(r"([0-9]{1,15})-([0-9]{1,20})", text)
    return (int(found[1]), min(int(found[2]), LAST)) if found else None


def written(entry: Id) -> str:
    return f"{entry[0]}-{entry[1]}"


def before(milliseconds: int) -> Id:
    """After it come exactly the entries of that millisecond and later."""
    return (milliseconds - 1, LAST) if milliseconds > 0 else (0, 0)


async def read(
    client: "redis.asyncio.Redis", after: dict[str, Id], block: int | None = None
) -> tuple[list[Entry], bool]:
    """What each stream has after the given ids, oldest first whatever its stream, and whether there is more.

    Every entry up to the last one returned is among them. `after` is moved past what is returned. Waits up to `block`
    milliseconds for the first one. Raises `redis.RedisError`.
    """
    asked: dict[Any, Any] = {stream: written(position) for stream, position in after.items()}
    found = cast(
        dict[str, list[tuple[str, dict[str, str] | None]]],
        await client.xread(asked, count=ENTRIES_AT_ONCE, block=block) if asked else {},
    )
    rows = {
        stream: [(cast(Id, parse(name)), fields) for name, fields in listed] for stream, listed in (found or {}).items()
    }
    # A stream that was cut off may have older ones than another's last.
    cut = [listed[-1][0] for listed in rows.values() if len(listed) >= ENTRIES_AT_ONCE]
    entries = [
        Entry(position, stream, fields or {})
        for stream, listed in rows.items()
        for position, fields in listed
        if not cut or position <= min(cut)
    ]
    # Of one millisecond, a run's start goes first and its end last.
    entries.sort(key=lambda entry: (entry.id, KINDS.index(entry.stream.rpartition(MARK)[2])))
    for entry in entries:
        after[entry.stream] = entry.id
    return entries, bool(cut)


def event(entry: Entry, cursor: Id) -> bytes:
    """The entry as a server-sent event; `cursor` is the id to go on from."""
    policy, _, kind = entry.stream.rpartition(MARK)
    fields = entry.fields
    data = {
        "policy": policy,
        "run_id": fields.get("run_id", fields.get("trace_id")),
        "entry": written(entry.id),
        "payload": payload(fields.get("payload", "")),
    }
    return f"id: {written(cursor)}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def payload(text: str) -> Any:
    """What the text says; null for what JSON cannot say, or when it is no JSON."""
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None
