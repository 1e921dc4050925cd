"""Server-sent events: what the policies' streams announce, as it comes.

GET /live/ follows all policies, /live/?policy=NAME one. Each event's id is its stream entry's; a client that comes back
with `Last-Event-ID`, or comes with `after=ID`, gets what came since. Entries of that very millisecond may come again:
streams count their entries each for itself. An ASGI application, since a stream would hold one of the few threads in
which Django answers.
"""

import asyncio
import contextlib
import io
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import django.db
import redis
import structlog
from django.contrib.auth import get_user
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse

from dashboard.access import VIEW
from dashboard.live.entries import Id, before, event, parse, read, streams_of, written
from dashboard.live.hub import AWAY_SECONDS, Follower, Hub, message
from quantum_trader.threaded import close_what_was_hung_up, keep_connections

log = structlog.get_logger(__name__)

PATH = "/live/"
HEARTBEAT_SECONDS = 15.0
# How soon somebody who signed out hears nothing any more.
LOOK_AGAIN_SECONDS = 30.0
# So that not all come, or are looked at, in the same moment.
SPREAD = random.SystemRandom()
FOLLOWERS = 1000
# Who comes back after longer has the page fetched again, which costs less than a month of events.
OLDEST_MILLISECONDS = 3_600_000
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # nginx would gather them otherwise.
    (b"x-accel-buffering", b"no"),
]


class LiveEvents:
    """Answers for `PATH`; everything else is the application's."""

    def __init__(self, application: Any, threads: int = 2) -> None:
        self._application = application
        self.threads = ThreadPoolExecutor(threads, "live", initializer=keep_connections)
        self._hub: Hub | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._application(scope, receive, send)
            return
        hub = self._hub or self._open_hub()
        status = 405 if scope["method"] != "GET" else await self._in_thread(permission, scope)
        if status == 200 and (hub.closed or len(hub.followers) >= FOLLOWERS):
            status = 503
        if status != 200:
            await refuse(send, status)
            return
        await self._stream(hub, scope, receive, send)

    def _open_hub(self) -> Hub:
        self._hub = Hub(self._in_thread)
        when_asked_to_end(asyncio.get_running_loop(), self._hub.close)
        return self._hub

    async def _in_thread(self, ask: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, in_thread, ask, *given)

    async def _stream(self, hub: Hub, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Until the client goes, may not see it any more, does not read, or the server ends."""
        policy, cursor = wanted(scope)
        follower = Follower(policy)
        hub.join(follower)
        tasks = [
            asyncio.create_task(follow(hub, follower, cursor, send)),
            asyncio.create_task(self._gone(scope, receive)),
            asyncio.create_task(follower.ended.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hub.leave(follower)
            # A cancellation may be forgotten, as by the hub's reader.
            follower.end()
            for task in tasks:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
        if follower.dropped:
            await hang_up(send)
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})
        for error in found:
            if isinstance(error, Exception):
                raise error

    async def _gone(self, scope: dict[str, Any], receive: Any) -> None:
        while True:
            try:
                message = await asyncio.wait_for(receive(), LOOK_AGAIN_SECONDS * SPREAD.uniform(0.8, 1.2))
                if message["type"] == "http.disconnect":
                    return
            except TimeoutError:
                if await self._in_thread(permission, scope) not in (200, 503):
                    return


async def follow(hub: Hub, follower: Follower, cursor: Id | None, send: Any) -> None:
    """Send what came since `cursor`, then what comes."""

    async def say(text: bytes) -> None:
        await send({"type": "http.response.body", "body": text, "more_body": True})

    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await say(f"retry: {SPREAD.randint(1000, 3000)}\n\n".encode())
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hub.ready.wait(), HEARTBEAT_SECONDS)
            break
        await say(b":\n\n")
    now = hub.cursor
    if cursor is not None:
        # From here on the hub gives what comes after its positions.
        follower.forget()
        if now[0] - cursor[0] > OLDEST_MILLISECONDS:
            await say(message("changed", {}))
        else:
            await catch_up(hub, follower.policy, cursor, dict(hub.positions), say)
    await say(heartbeat(now))
    while not follower.ended.is_set():
        chunk = await follower.take(HEARTBEAT_SECONDS)
        # What the hub has read since this one ended was not put here: its cursor would lead past it.
        if chunk or not follower.ended.is_set():
            await say(chunk or heartbeat(hub.cursor))


def heartbeat(cursor: Id) -> bytes:
    """A comment, and the id to go on from: no event, but kept by the browser."""
    return f":\nid: {written(cursor)}\n\n".encode()


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
            await asyncio.sleep(AWAY_SECONDS)
            continue
        found = []
        for entry in entries:
            if entry.id <= until[entry.stream]:
                cursor = max(cursor, entry.id)
                found.append(event(entry, cursor))
        if found:
            await say(b"".join(found))


def wanted(scope: dict[str, Any]) -> tuple[str | None, Id | None]:
    """The policy, None for all, and the id to go on from, None for now."""
    asked = parse_qs(scope["query_string"].decode("latin-1"))
    headers = dict(scope["headers"])
    last = headers.get(b"last-event-id", b"").decode("latin-1") or asked.get("after", [""])[0]
    return asked.get("policy", [None])[0], parse(last)


def permission(scope: dict[str, Any]) -> int:
    """The status that the request's session asks for."""
    request = ASGIRequest(scope, io.BytesIO())
    try:
        request.get_host()
        SessionMiddleware(lambda _: HttpResponse()).process_request(request)
        user = get_user(request)
        return 401 if not user.is_authenticated else 200 if user.has_perms(VIEW) else 403
    except DisallowedHost:
        return 400
    except django.db.Error as error:
        log.warning("Nobody's permission can be looked up", error=str(error))
        return 503


def in_thread(ask: Callable[..., Any], *given: Any) -> Any:
    close_what_was_hung_up()
    try:
        return ask(*given)
    except django.db.Error:
        django.db.connection.close()
        raise


async def refuse(send: Any, status: int) -> None:
    headers = [(b"content-length", b"0"), (b"cache-control", b"no-store")]
    if status == 405:
        headers.append((b"allow", b"GET"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def hang_up(send: Any) -> None:
    """Close the connection whatever waits in it. uvicorn itself would wait for a client that does not read."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        await asyncio.sleep(0)


def when_asked_to_end(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    """Call `end` when the server is told to end: uvicorn waits for answers under way, and does not tell them."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        before_it = signal.getsignal(number)

        def ask(number: int, frame: Any, before_it: Any = before_it) -> None:
            loop.call_soon_threadsafe(end)
            if callable(before_it):
                before_it(number, frame)

        if callable(before_it):
            signal.signal(number, ask)
