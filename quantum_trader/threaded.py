"""An ASGI application that runs Django's WSGI application in a few threads.

Django's own ASGI application passes each request back and forth between the event loop and a thread for every
middleware, and opens a database connection for every request. `python -m benchmarks.service --only summary` allows a
95th percentile of 25 ms at 1,000,000 runs with 8 clients. Its load on 2 cores that other work shared, alternating in
one run, medians of 5 rounds of 5 seconds:

    application        processor time of web per request    median    95th percentile
    this module        2.5 ms                                70 ms     118 ms
    Django's ASGI      7.1 ms                               121 ms     184 ms

Answering in threads took 12 ms (95th percentile) on the same cores without other work. Scaled by the processor time,
Django's application needs 35 ms there, scaled by the 95th percentile 19 ms: the limit is not safe with it.
"""

import asyncio
import select
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, NamedTuple
from wsgiref.types import WSGIApplication

from django.db import connections
from django.utils.encoding import iri_to_uri

from quantum_trader.login_queue import LoginQueue, QueueFullError

# Seconds for which a thread keeps a database connection at most.
KEPT_CONNECTION = {"CONN_MAX_AGE": 60}
# The limit of request bodies in bytes. No page accepts files, and the longest forms have some ten thousand bytes.
MOST_BYTES = 2_500_000
# Requests that hash passwords at the same time, and those that wait for it.
LOGINS_AT_ONCE, LOGINS_WAITING = 2, 100
# A login form that is shown again was refused. It is answered so long after its arrival, because the answer to an
# unknown user may be ready at another time than the answer to a known one, whose password may have an older hash.
REFUSED_LOGIN_SECONDS = 0.5


class Answer(NamedTuple):
    """A whole HTTP response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class BodyTooLargeError(Exception):
    """The request's body has more than MOST_BYTES bytes."""


class ThreadedHandler:
    """Answers each request in one of a few threads, each of which keeps its database connection.

    The paths `apart` have threads of their own, so that they are answered even if all other threads wait. So do POST
    requests to the paths that begin as one of `logins`, which hash passwords. Responses are sent as a whole, never as a
    stream.
    """

    def __init__(
        self,
        application: WSGIApplication,
        threads: int,
        apart: Collection[str] = (),
        logins: Collection[str] = (),
    ) -> None:
        self._application = application
        self._apart = frozenset(apart)
        self._login_paths = tuple(logins)
        self._threads = ThreadPoolExecutor(threads, "request", initializer=keep_connections)
        self._threads_apart = ThreadPoolExecutor(max(1, len(self._apart)), "request-apart")
        login_threads = ThreadPoolExecutor(LOGINS_AT_ONCE, "login", initializer=keep_connections)
        self._logins = LoginQueue(login_threads, LOGINS_AT_ONCE, LOGINS_WAITING)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP connections are handled, not {scope['type']}.")
        try:
            body = await read_body(receive)
        except BodyTooLargeError:
            refusal = b"At most %d bytes are taken.\n" % MOST_BYTES
            await send_answer(send, plain_text(413, refusal, (b"connection", b"close")))
            return
        if body is None:
            return
        try:
            environ = wsgi_environ(scope, body)
        except UnicodeDecodeError:
            await send_answer(send, plain_text(400, b""))
            return
        if scope["method"] == "POST" and scope["path"].startswith(self._login_paths):
            await send_answer(send, await self._answer_login(environ))
            return
        threads = self._threads_apart if scope["path"] in self._apart else self._threads
        await send_answer(send, await asyncio.get_running_loop().run_in_executor(threads, self._answer, environ))

    async def _answer_login(self, environ: dict[str, Any]) -> Answer:
        answer_at = asyncio.get_running_loop().time() + REFUSED_LOGIN_SECONDS
        try:
            answer = await self._logins.run(environ.get("REMOTE_ADDR", ""), self._answer, environ)
        except QueueFullError:
            return plain_text(503, b"Too many logins at the same time. Try again.\n", (b"retry-after", b"1"))
        if answer.status == 200:
            await asyncio.sleep(answer_at - asyncio.get_running_loop().time())
        return answer

    def _answer(self, environ: dict[str, Any]) -> Answer:
        """Return what the WSGI application answers to the request `environ`."""
        close_broken_connections()
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
            started.append((status, headers))

        response = self._application(environ, start_response)
        try:
            body = b"".join(response)
        finally:
            if close := getattr(response, "close", None):
                close()
        status, headers = started[-1]
        encoded = [(name.encode("latin-1"), value.strip().encode("latin-1")) for name, value in headers]
        return Answer(int(status.partition(" ")[0]), encoded, body)


async def read_body(receive: Any) -> bytes | None:
    """Return the request's body, None if the client disconnects. Raises `BodyTooLargeError`."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            raise BodyTooLargeError
        more = message.get("more_body", False)
    return bytes(body)


def wsgi_environ(scope: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return the WSGI environment (PEP 3333) of an ASGI request. Raises `UnicodeDecodeError` if its query is not UTF-8.

    WSGI represents bytes as Latin-1 text.
    """
    root = scope.get("root_path", "")
    server, port = scope.get("server") or ("unknown", 0)
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": scope["path"].removeprefix(root).encode().decode("latin-1"),
        "QUERY_STRING": iri_to_uri(scope["query_string"].decode()),
        "SERVER_NAME": server,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if scope.get("client"):
        environ["REMOTE_ADDR"] = scope["client"][0]
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        # A header with an underscore could pass for one with a hyphen that the proxy removes or sets.
        if b"_" not in name:
            headers.setdefault(name.decode("latin-1").upper().replace("-", "_"), []).append(value.decode("latin-1"))
    environ |= {f"HTTP_{name}": ",".join(values) for name, values in headers.items()}
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    # The length of the received body replaces the header: a body that is sent in chunks has no such header, and Django
    # would read nothing of it.
    environ.pop("HTTP_CONTENT_LENGTH", None)
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def plain_text(status: int, text: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    """Return an answer in plain text."""
    return Answer(status, [(b"content-type", b"text/plain; charset=utf-8"), *headers], text)


async def send_answer(send: Any, answer: Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def keep_connections() -> None:
    """Make this thread keep its database connections between requests; it runs as long as the process."""
    for connection in connections.all():
        connection.settings_dict = connection.settings_dict | KEPT_CONNECTION


def close_broken_connections() -> None:
    """Close this thread's connections that PostgreSQL has ended, for example in a restart; the next query reconnects.

    PostgreSQL sends a message when it ends a connection. Looking for one takes microseconds, whereas Django's
    CONN_HEALTH_CHECKS makes a query.
    """
    for connection in connections.all(initialized_only=True):
        kept = connection.connection
        if connection.vendor == "postgresql" and kept is not None and (kept.closed or has_unread_data(kept)):
            connection.close()


def has_unread_data(connection: Any) -> bool:
    """Return whether the server has sent data that nothing has read yet."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
