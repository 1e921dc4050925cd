"""The ASGI application that serves the entries of the policies' streams as server-sent events.

GET /live/ follows all policies, /live/?policy=NAME one policy. The id of an event is the id of its stream entry. A
client that reconnects with `Last-Event-ID`, or connects with `after=ID`, receives the entries since. It may receive the
entries of the id's millisecond again, because every stream numbers its entries separately.

A Django view would hold one of the few request threads for as long as the client is connected.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.contrib.auth.signals import user_logged_out

from dashboard.access import VIEW
from dashboard.live.entries import Id, parse
from dashboard.live.follower import Follower
from dashboard.live.following import RANDOM, follow
from dashboard.live.hub import Hub
from dashboard.live.server import hang_up, on_termination
from dashboard.scope_user import Permission, permission, with_database
from quantum_trader.threaded import keep_connections
from quantum_trader.web.networks import network_of
from quantum_trader.web.strict_headers import STRICT

PATH = "/live/"
# A user who lost the permission receives events for at most about this long. The hub ends streams at sign-out.
RECHECK_SECONDS = 30.0
FOLLOWERS = 1000


class LiveEvents:
    """Answers requests for `PATH` and passes every other request on to `application`."""

    def __init__(self, application: Any, threads: int = 2) -> None:
        self._application = application
        self.threads = ThreadPoolExecutor(threads, "live", initializer=keep_connections)
        self._hub: Hub | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._application(scope, receive, send)
            return
        hub = self._hub or self._open_hub()
        if scope["method"] != "GET":
            await refuse(send, 405)
            return
        found: Permission = await self._in_thread(permission, scope, *VIEW)
        policy, cursor = requested(scope)
        client = scope.get("client") or ("", 0)
        follower = Follower(policy, found.user, network_of(client[0]), found.session)
        status = found.status if found.status != 200 else room_for(follower, hub)
        if status != 200:
            await refuse(send, status)
            return
        await self._stream(hub, follower, cursor, scope, receive, send)

    def _open_hub(self) -> Hub:
        loop, hub = asyncio.get_running_loop(), Hub(self._in_thread)
        on_termination(loop, hub.close)

        # A signal holds a weak reference to its receiver, so the receiver is kept in `self`. The hub itself finds
        # sign-outs in other processes.
        def signed_out(request: Any, **_: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(hub.end_streams, {request.session.session_key})

        self._signed_out = signed_out
        user_logged_out.connect(signed_out)
        self._hub = hub
        return hub

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, with_database, function, *arguments)

    async def _stream(
        self, hub: Hub, follower: Follower, cursor: Id | None, scope: dict[str, Any], receive: Any, send: Any
    ) -> None:
        """Send events until the client disconnects, signs out or stops reading, or the server ends."""
        hub.join(follower)
        tasks = [
            asyncio.create_task(follow(hub, follower, cursor, send)),
            asyncio.create_task(self._until_gone(scope, receive)),
            asyncio.create_task(follower.ended.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hub.leave(follower)
            # `follow` may lose its cancellation (see `unless_cancelled` in hub.py), but ends with its follower.
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

    async def _until_gone(self, scope: dict[str, Any], receive: Any) -> None:
        """Return when the client has disconnected or lost its permission."""
        while True:
            try:
                message = await asyncio.wait_for(receive(), RECHECK_SECONDS * RANDOM.uniform(0.8, 1.2))
                if message["type"] == "http.disconnect":
                    return
            except TimeoutError:
                if (await self._in_thread(permission, scope, *VIEW)).status not in (200, 503):
                    return


def room_for(follower: Follower, hub: Hub) -> int:
    """Return 200 if the hub may take another follower of its user and its network, otherwise the status."""
    if hub.closed or len(hub.followers) >= FOLLOWERS:
        return 503
    of_user = sum(other.user == follower.user for other in hub.followers)
    of_address = sum(other.network == follower.network for other in hub.followers)
    if of_user >= settings.LIVE_STREAMS_PER_USER or of_address >= settings.LIVE_STREAMS_PER_ADDRESS:
        return 429
    return 200


def requested(scope: dict[str, Any]) -> tuple[str | None, Id | None]:
    """Return the policy to follow, None for all, and the id to resume after, None for the current time."""
    query = parse_qs(scope["query_string"].decode("latin-1"))
    headers = dict(scope["headers"])
    last = headers.get(b"last-event-id", b"").decode("latin-1") or query.get("after", [""])[0]
    return query.get("policy", [None])[0], parse(last)


async def refuse(send: Any, status: int) -> None:
    headers = [(b"content-length", b"0"), *STRICT]
    if status == 405:
        headers.append((b"allow", b"GET"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
