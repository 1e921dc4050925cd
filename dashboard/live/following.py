"""The events that one client receives: the entries that it missed, then every new entry, and heartbeats."""

import asyncio
import contextlib
import random
from typing import Any

import redis
import structlog

from dashboard.live.entries import Id, before, event, heartbeat, message, read, streams_of
from dashboard.live.follower import Follower
from dashboard.live.hub import RETRY_SECONDS, Hub
from quantum_trader.web.strict_headers import STRICT

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
# A client that was away for longer is notified to fetch its page again: a month of events would cost more.
OLDEST_MILLISECONDS = 3_600_000
# Random pauses spread the reconnections of many clients.
RANDOM = random.SystemRandom()
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    *STRICT,
    # Without this header, nginx would collect events before it forwards them.
    (b"x-accel-buffering", b"no"),
]


async def follow(hub: Hub, follower: Follower, cursor: Id | None, send: Any) -> None:
    """Send the entries since `cursor`, then new entries, until the follower ends. `send` is the ASGI function."""

    async def say(text: bytes) -> None:
        await send({"type": "http.response.body", "body": text, "more_body": True})

    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await say(f"retry: {RANDOM.randint(1000, 3000)}\n\n".encode())
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hub.ready.wait(), HEARTBEAT_SECONDS)
            break
        await say(b":\n\n")
    now = hub.cursor
    if cursor is not None:
        # From here on the hub delivers the entries after its positions; this function sends the earlier entries.
        follower.forget()
        if now[0] - cursor[0] > OLDEST_MILLISECONDS:
            await say(message("changed", {}))
        else:
            await catch_up(hub, follower.policy, cursor, dict(hub.positions), say)
    await say(heartbeat(now))
    while not follower.ended.is_set():
        chunk = await follower.take(HEARTBEAT_SECONDS)
        # An ended follower accepts no more entries, so the hub's cursor would skip the entries that the hub read since.
        if chunk or not follower.ended.is_set():
            await say(chunk or heartbeat(hub.cursor))


async def catch_up(hub: Hub, policy: str | None, cursor: Id, until: dict[str, Id], say: Any) -> None:
    """Send the entries from the cursor's millisecond up to `until`, oldest first."""
    streams = until if policy is None else [stream for stream in streams_of([policy]) if stream in until]
    positions = dict.fromkeys(streams, before(cursor[0]))
    for stream, (since, known) in hub.late.items():
        if stream in positions and cursor < known:
            positions[stream] = min(since, positions[stream])
    more = True
    while more:
        try:
            entries, more = await read(hub.client, positions)
        except (redis.RedisError, OSError) as error:
            log.warning("Live events wait for Redis", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            continue
        found = []
        for entry in entries:
            if entry.id <= until[entry.stream]:
                cursor = max(cursor, entry.id)
                found.append(event(entry, cursor))
        if found:
            await say(b"".join(found))
