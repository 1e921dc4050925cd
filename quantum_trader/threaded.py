"""Django under ASGI, each request whole in one thread."""

import asyncio
import select
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import Any

from django.core import signals
from django.core.exceptions import RequestAborted, RequestDataTooBig
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import connections
from django.http import HttpResponseBase
from django.urls import set_script_prefix

# Seconds for which a thread keeps its database connection at most.
KEPT_CONNECTION = {"CONN_MAX_AGE": 60}
# Of a request's body. No page takes files, and the longest forms are some ten thousand bytes.
MOST_BYTES = 2_500_000


class ThreadedHandler(ASGIHandler):
    """Django's handler for views that are not asynchronous.

    Django's own crosses from the event loop to another thread and back for each middleware and connects to the database
    anew for each request, which takes several times as long as the request itself. Here a few threads, each with a
    database connection, take the requests in turn. Those for the paths `apart` have threads of their own: they are
    answered however many others wait for something.
    """

    def __init__(self, threads: int, apart: Collection[str] = ()) -> None:
        self.load_middleware()
        self._apart = frozenset(apart)
        self._threads = ThreadPoolExecutor(threads, "request", initializer=keep_connections)
        self._threads_apart = ThreadPoolExecutor(max(1, len(self._apart)), "request-apart")

    async def handle(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        size = 0

        async def counted() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MOST_BYTES:
                raise RequestDataTooBig
            return message

        try:
            body = await self.read_body(counted)
        except RequestAborted:
            return
        except RequestDataTooBig:
            await refuse(send)
            return
        if size and not any(name == b"content-length" for name, _ in scope["headers"]):
            # Without it, as of what was sent in chunks, a body counts as empty.
            scope = scope | {"headers": [*scope["headers"], (b"content-length", b"%d" % size)]}
        threads = self._threads_apart if scope["path"] in self._apart else self._threads
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(threads, self._respond, scope, body)
        try:
            await self.send_response(response, send)
        finally:
            if response.streaming:
                await loop.run_in_executor(threads, response.close)

    def _respond(self, scope: dict[str, Any], body: "SpooledTemporaryFile[bytes]") -> HttpResponseBase:
        with body:
            close_what_was_hung_up()
            set_script_prefix(get_script_prefix(scope))
            signals.request_started.send(sender=self.__class__, scope=scope)
            request, response = self.create_request(scope, body)
            if request is not None:
                response = self.get_response(request)
                response._handler_class = self.__class__
            if not response.streaming:
                response.close()
            return response


async def refuse(send: Any) -> None:
    """A body that nothing here takes, whoever sends it, before more of it is kept."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"At most %d bytes are taken.\n" % MOST_BYTES})


def keep_connections() -> None:
    """Let this thread keep its connections: it ends with the process and has more requests to come."""
    for connection in connections.all():
        connection.settings_dict = connection.settings_dict | KEPT_CONNECTION


def close_what_was_hung_up() -> None:
    """Close this thread's connections that PostgreSQL has ended, as a restart does; the next query makes a new one.

    The server says so unasked. To look for that takes microseconds, where Django's CONN_HEALTH_CHECKS asks a question.
    """
    for connection in connections.all(initialized_only=True):
        kept = connection.connection
        if connection.vendor == "postgresql" and kept is not None and (kept.closed or has_something_to_say(kept)):
            connection.close()


def has_something_to_say(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
