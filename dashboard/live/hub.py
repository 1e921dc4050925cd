"""One reader of the streams for all that follow them."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis
import structlog
from django.db import Error as DatabaseError

from dashboard.live.entries import Entry, Id, before, event, policy_of, read, streams_of
from dashboard.monitoring import readiness
from quantum_trader.redis_clients import asynchronous_redis_client
from rl_training.models import PolicyStore, TrainingRun

log = structlog.get_logger(__name__)

T = TypeVar("T")

# How long a read waits for an entry: less than the socket's timeout.
BLOCK_MILLISECONDS = 1000
SOCKET_SECONDS = 5.0
# Entries that come within it leave together.
GATHER_SECONDS = 0.05
# Of each read; with very many policies reading must not take all the time.
SECONDS_PER_STREAM = 5e-5
LOOK_SECONDS = 3.0
HEALTH_SECONDS = 5.0
AWAY_SECONDS = 0.5
# Of what waits for a client that does not read. It comes again and goes on where it was.
PENDING_BYTES = 256 * 1024


class Follower:
    """Somebody who follows the streams of one policy, or of all (None)."""

    def __init__(self, policy: str | None) -> None:
        self.policy = policy
        self.ended, self.dropped = asyncio.Event(), False
        self._waiting = asyncio.Event()
        self._pending: list[bytes] = []
        self._bytes = 0

    def put(self, chunk: bytes) -> None:
        if not chunk or self.ended.is_set():
            return
        self._bytes += len(chunk)
        # One that has taken all so far gets any chunk, which all followers share.
        if self._pending and self._bytes > PENDING_BYTES:
            self.dropped = True
            self.forget()
            self.end()
        else:
            self._pending.append(chunk)
            self._waiting.set()

    async def take(self, seconds: float) -> bytes:
        """All that waits; nothing when nothing came for so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.wait(), seconds)
        chunk = b"".join(self._pending)
        self.forget()
        return chunk

    def forget(self) -> None:
        self._waiting.clear()
        self._pending.clear()
        self._bytes = 0

    def end(self) -> None:
        self.ended.set()
        self._waiting.set()


class Hub:
    """Reads while there is a follower. `in_thread` runs a function that uses the database.

    `positions` is how far each stream was read, `cursor` an id up to which all were. But for those of a policy that
    was new: by `late`, they are read from the one id on since the moment of the other.
    """

    def __init__(self, in_thread: Callable[..., Any]) -> None:
        self._in_thread = in_thread
        self.followers: set[Follower] = set()
        self.positions: dict[str, Id] = {}
        self.cursor: Id = (0, 0)
        self.late: dict[str, tuple[Id, Id]] = {}
        self.ready = asyncio.Event()
        self.closed = False
        self.client = asynchronous_redis_client(SOCKET_SECONDS)
        self._tasks: list[asyncio.Task[None]] = []
        self._looked_at = -LOOK_SECONDS
        self._names_of = 0
        self._seen: dict[str, Any] = {}

    def join(self, follower: Follower) -> None:
        self.followers.add(follower)
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._read_on()), asyncio.create_task(self._watch_health())]

    def leave(self, follower: Follower) -> None:
        self.followers.discard(follower)
        if not self.followers:
            for task in self._tasks:
                task.cancel()
            self._tasks = []
            self.positions.clear()
            self.late.clear()
            self.ready.clear()
            self._looked_at = -LOOK_SECONDS

    def close(self) -> None:
        """End all; nobody may join any more."""
        self.closed = True
        for follower in self.followers:
            follower.end()

    async def _read_on(self) -> None:
        while True:
            try:
                await self._look_for_policies()
                now = await self._now()
                try:
                    entries, _ = await remembering(read(self.client, self.positions, BLOCK_MILLISECONDS))
                except redis.ResponseError as error:
                    log.error("A stream cannot be read", error=str(error))
                    await self._leave_out_what_is_no_stream()
                else:
                    self._deliver(entries)
                    # What was added before the read began was read.
                    self.cursor = max(self.cursor, (now, 0))
            except (redis.RedisError, OSError, DatabaseError) as error:
                log.warning("Live events wait", error=str(error))
                await asyncio.sleep(AWAY_SECONDS)
            await asyncio.sleep(GATHER_SECONDS + SECONDS_PER_STREAM * len(self.positions))

    async def _look_for_policies(self) -> None:
        """Follow each policy's streams: a new one's from when it was not there yet, at the start all from now on."""
        if time.monotonic() < self._looked_at + LOOK_SECONDS:
            return
        now = await self._now()
        found = await self._in_thread(policies)
        self._tell_of_changes(found)
        streams = streams_of(found)
        if self.ready.is_set():
            since = before(self._names_of)
            self.late |= {stream: (since, (now, 0)) for stream in streams if stream not in self.positions}
        else:
            since, self.cursor = before(now), (now, 0)
        self.positions = {stream: self.positions.get(stream, since) for stream in streams}
        self._names_of, self._looked_at = now, time.monotonic()
        self.ready.set()

    def _tell_of_changes(self, found: dict[str, Any]) -> None:
        changed = [name for name in found if self.ready.is_set() and self._seen.get(name) != found[name]]
        self._seen = found
        chunks = {name: message("changed", {"policy": name}) for name in changed}
        everything = b"".join(chunks.values())
        for follower in list(self.followers):
            follower.put(everything if follower.policy is None else chunks.get(follower.policy, b""))

    async def _now(self) -> int:
        seconds, microseconds = await remembering(self.client.time())
        return seconds * 1000 + microseconds // 1000

    async def _leave_out_what_is_no_stream(self) -> None:
        """Until the next look for policies."""
        for stream in list(self.positions):
            if await remembering(self.client.type(stream)) not in ("stream", "none"):
                del self.positions[stream]

    def _deliver(self, entries: list[Entry]) -> None:
        chunks: dict[str | None, list[bytes]] = {}
        for entry in entries:
            self.cursor = max(self.cursor, entry.id)
            chunk = event(entry, self.cursor)
            for whose in (policy_of(entry.stream), None):
                chunks.setdefault(whose, []).append(chunk)
        whole = {whose: b"".join(parts) for whose, parts in chunks.items()}
        for follower in list(self.followers):
            follower.put(whole.get(follower.policy, b""))

    async def _watch_health(self) -> None:
        """Tell everybody when a part of the system is lost or found."""
        known = None
        while True:
            state = await self._in_thread(readiness.state)
            found = {name: part["state"] for name, part in state.items() if isinstance(part, dict) and "state" in part}
            if known is not None and found != known:
                chunk = message("health", found)
                for follower in list(self.followers):
                    follower.put(chunk)
            known = found
            await asyncio.sleep(HEALTH_SECONDS)


async def remembering(answer: Awaitable[T]) -> T:
    """What Redis answers, unless the task is cancelled: a reader that was must not touch what is the next one's.

    Python 3.11's `wait_for`, by which the client waits, may forget a cancellation that comes with its result.
    """
    found = await answer
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return found


def message(kind: str, data: Any) -> bytes:
    """An event that is of no stream: what it tells of is in the page, which may be fetched again."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def policies() -> dict[str, Any]:
    """By name, what a page shows of a policy and no stream announces: its settings, its slot, its queued run."""
    columns = ("policy__name", "pk", "status", "cancel_requested_at")
    active = {name: rest for name, *rest in TrainingRun.objects.active().values_list(*columns).order_by()}
    rows = PolicyStore.objects.values_list("name", "updated_at", "next_run_at").order_by()
    return {name: (*moments, active.get(name)) for name, *moments in rows}
