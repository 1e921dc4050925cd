"""One reader of the Redis streams for all clients of the process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import redis
import structlog
from django.contrib.sessions.models import Session
from django.db import Error as DatabaseError
from django.db.models import Count, Max
from django.utils import timezone

from dashboard.live.entries import Entry, Id, before, event, message, policy_of, read, streams_of
from dashboard.live.follower import Follower
from dashboard.monitoring import readiness
from quantum_trader.redis_clients import asynchronous_redis_client
from rl_training.alerts.models import Alert
from rl_training.models import PolicyStore, Proposal, TrainingRun, Validation

log = structlog.get_logger(__name__)

T = TypeVar("T")

# A read waits this long for an entry: shorter than the socket's timeout.
BLOCK_MILLISECONDS = 1000
SOCKET_SECONDS = 5.0
# Entries that come within this time are sent together.
GATHER_SECONDS = 0.05
# The pause between reads grows with the number of streams, so that reading leaves time for answering.
SECONDS_PER_STREAM = 5e-5
POLICIES_SECONDS = 3.0
# Pause between checks whether sessions have ended by a sign-out in another process.
SESSIONS_SECONDS = 2.0
HEALTH_SECONDS = 5.0
RETRY_SECONDS = 0.5
# Stands for the whole system where the name of a policy is expected; no policy has an empty name.
SYSTEM = ""


class Hub:
    """Reads the streams while there is a follower. `in_thread` runs a function that uses the database.

    `positions` holds the last id read of each stream; every stream has been read up to `cursor`. Streams of a policy
    that was found later are an exception: `late` holds, for each of them, the id after which reading began, and the
    time at which it began, as an id.
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
        self._policies_read_at = -POLICIES_SECONDS
        self._policies_as_of = 0
        self._known: dict[str, Any] = {}

    def join(self, follower: Follower) -> None:
        self.followers.add(follower)
        if not self._tasks:
            work = (self._read_streams(), self._watch_health(), self._watch_sessions())
            self._tasks = [asyncio.create_task(task) for task in work]

    def leave(self, follower: Follower) -> None:
        self.followers.discard(follower)
        if not self.followers:
            for task in self._tasks:
                task.cancel()
            self._tasks = []
            self.positions.clear()
            self.late.clear()
            self.ready.clear()
            self._policies_read_at = -POLICIES_SECONDS

    def close(self) -> None:
        """End all connections and accept no more."""
        self.closed = True
        for follower in self.followers:
            follower.end()

    def end_streams(self, sessions: set[str]) -> None:
        """End the streams of sessions that have ended."""
        for follower in self.followers:
            if follower.session in sessions:
                follower.end()

    async def _read_streams(self) -> None:
        while True:
            try:
                await self._find_policies()
                now = await self._now()
                try:
                    entries, _ = await unless_cancelled(read(self.client, self.positions, BLOCK_MILLISECONDS))
                except redis.ResponseError as error:
                    log.error("A stream cannot be read", error=str(error))
                    await self._drop_other_keys()
                else:
                    self._deliver(entries)
                    # The read returned every entry that was added before it began.
                    self.cursor = max(self.cursor, (now, 0))
            except (redis.RedisError, OSError, DatabaseError) as error:
                log.warning("Live events wait", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(GATHER_SECONDS + SECONDS_PER_STREAM * len(self.positions))

    async def _find_policies(self) -> None:
        """Follow the streams of every policy.

        The first call starts at the current time. A later call starts the streams of a new policy at the previous call,
        when the policy did not exist.
        """
        if time.monotonic() < self._policies_read_at + POLICIES_SECONDS:
            return
        now = await self._now()
        found = await self._in_thread(policies)
        self._publish_changes(found)
        streams = streams_of(name for name in found if name != SYSTEM)
        if self.ready.is_set():
            since = before(self._policies_as_of)
            self.late |= {stream: (since, (now, 0)) for stream in streams if stream not in self.positions}
        else:
            since, self.cursor = before(now), (now, 0)
        self.positions = {stream: self.positions.get(stream, since) for stream in streams}
        self._policies_as_of, self._policies_read_at = now, time.monotonic()
        self.ready.set()

    def _publish_changes(self, found: dict[str, Any]) -> None:
        changed = [name for name in found if self.ready.is_set() and self._known.get(name) != found[name]]
        self._known = found
        chunks = {name: message("changed", {"policy": name}) for name in changed}
        everything = b"".join(chunks.values())
        for follower in list(self.followers):
            follower.put(everything if follower.policy is None else chunks.get(follower.policy, b""))

    async def _now(self) -> int:
        seconds, microseconds = await unless_cancelled(self.client.time())
        return seconds * 1000 + microseconds // 1000

    async def _drop_other_keys(self) -> None:
        """Stop reading keys that hold no stream, until the policies are read again."""
        for stream in list(self.positions):
            if await unless_cancelled(self.client.type(stream)) not in ("stream", "none"):
                del self.positions[stream]

    def _deliver(self, entries: list[Entry]) -> None:
        chunks: dict[str | None, list[bytes]] = {}
        for entry in entries:
            self.cursor = max(self.cursor, entry.id)
            chunk = event(entry, self.cursor)
            for followed in (policy_of(entry.stream), None):
                chunks.setdefault(followed, []).append(chunk)
        whole = {followed: b"".join(parts) for followed, parts in chunks.items()}
        for follower in list(self.followers):
            follower.put(whole.get(follower.policy, b""))

    async def _watch_health(self) -> None:
        """Send the times of the newest heartbeats to every follower, and each change of a part's state."""
        known = None
        while True:
            state = await self._in_thread(readiness.state)
            found = {name: part["state"] for name, part in state.items() if isinstance(part, dict) and "state" in part}
            chunk = message("heartbeats", heartbeat_times(state))
            if known is not None and found != known:
                chunk += message("health", found)
            for follower in list(self.followers):
                follower.put(chunk)
            known = found
            await asyncio.sleep(HEALTH_SECONDS)

    async def _watch_sessions(self) -> None:
        """End the streams of sessions that have ended."""
        while True:
            await asyncio.sleep(SESSIONS_SECONDS)
            known = {follower.session for follower in self.followers if follower.session}
            try:
                self.end_streams(known - await self._in_thread(open_sessions, known))
            except DatabaseError as error:
                log.warning("Sessions cannot be read", error=str(error))


async def unless_cancelled(answer: Awaitable[T]) -> T:
    """Return the answer of Redis. Raises `CancelledError` when the task was cancelled meanwhile.

    A cancelled reader must not change the positions of its successor, but Python 3.11's `wait_for`, which the client
    uses, can lose a cancellation that arrives together with the result.
    """
    found = await answer
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return found


def heartbeat_times(state: dict[str, Any]) -> dict[str, str]:
    """Return the time of the newest heartbeat of each part in a `readiness.state`, ISO 8601."""
    now = timezone.now()
    ages = {name: part.get("seconds_ago") for name, part in state.items() if isinstance(part, dict)}
    return {name: (now - timedelta(seconds=age)).isoformat() for name, age in ages.items() if age is not None}


def open_sessions(keys: set[str]) -> set[str]:
    """Return the keys of the sessions that have not ended."""
    found = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    return set(found.values_list("session_key", flat=True))


def policies() -> dict[str, Any]:
    """Return, by policy name, the state that pages show and no stream publishes.

    The state is settings, next slot, queued run, open alerts, waiting proposals, and the folds of walk-forwards. The
    name `SYSTEM` has the alerts that belong to no policy.
    """
    columns = ("policy__name", "pk", "status", "cancel_requested_at")
    active = {name: rest for name, *rest in TrainingRun.objects.active().values_list(*columns).order_by()}
    counts = (Max("pk"), Count("pk"), Count("acknowledged_at"))
    groups = Alert.objects.open().order_by().values_list("policy__name").annotate(*counts)
    alerts = {name or SYSTEM: rest for name, *rest in groups}
    waiting = Proposal.objects.waiting().order_by().values_list("policy__name")
    proposals = {name: rest for name, *rest in waiting.annotate(Max("pk"), Count("pk"), Max("supported_by"))}
    folds: dict[str, list[Any]] = {}
    walked: Any = Validation.objects.active().with_progress().order_by("pk")
    for name, *rest in walked.values_list("policy__name", "pk", "status", "trained"):
        folds.setdefault(name, []).append(rest)
    rows = PolicyStore.objects.values_list("name", "updated_at", "next_run_at").order_by()
    found: dict[str, Any] = {
        name: (*times, active.get(name), alerts.get(name), proposals.get(name), folds.get(name))
        for name, *times in rows
    }
    return found | {SYSTEM: alerts.get(SYSTEM)}
