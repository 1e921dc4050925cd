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
import os
import select
import sys
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, NamedTuple
from wsgiref.types import WSGIApplication

from django.conf import settings
from django.db import connections
from django.utils.encoding import iri_to_uri

from quantum_trader.web.login_queue import LoginQueue, QueueFullError, user_of
from quantum_trader.web.strict_headers import STRICT

CLOSE = (b"connection", b"close")
# Seconds for which a thread keeps a database connection at most.
KEPT_CONNECTION = {"CONN_MAX_AGE": 60}
# The limit of request bodies in bytes, except uploads. The longest forms have some ten thousand bytes.
MOST_BYTES = 2_500_000
# A longer body is kept in a file, so that many clients at once take little memory.
BYTES_IN_MEMORY = 65_536
# The largest numbers of requests that read large files, and of uploads, at the same time.
SLOW_AT_ONCE, UPLOADS_AT_ONCE = 2, 2
# The largest numbers of requests that hash passwords at the same time, and that wait to do so. Half of the cores stay
# free for other work.
LOGINS_AT_ONCE, LOGINS_WAITING = max(1, (os.cpu_count() or 1) // 2), 100
# A wrong login is answered this long after its arrival, so that the time of the answer does not show whether the user
# exists: the password of a known user may have an older hash, which takes another time.
WRONG_LOGIN_SECONDS = 0.5
# A guess that was refused unchecked is answered even later, so that clients that wait for each answer make few guesses.
REFUSED_GUESS_SECONDS = 2.0


class Answer(NamedTuple):
    """A whole HTTP response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Upload(NamedTuple):
    """An upload: its largest body in bytes, the folder that keeps the body, and who may send it."""

    most: int
    folder: Path
    allowed: Callable[[dict[str, Any]], bool]


class BodyTooLargeError(Exception):
    """The request's body is longer than its limit."""


class TooManyUploadsError(Exception):
    """The server is handling UPLOADS_AT_ONCE uploads already."""


class ThreadedHandler:
    """Answers each request in one of a few threads, each of which keeps its database connection.

    Three groups of requests have threads of their own, so that others need not wait for them: requests to the paths
    `apart`; POST requests to paths that begin with one of `logins`, which hash passwords; and requests to paths that
    begin with one of `slow`, which may read large files. The bodies of POST requests to the paths of `uploads` may be
    large. Responses are sent as a whole, never as a stream.
    """

    def __init__(
        self,
        application: WSGIApplication,
        threads: int,
        apart: Collection[str] = (),
        logins: Collection[str] = (),
        slow: Collection[str] = (),
        uploads: Mapping[str, Upload] | None = None,
    ) -> None:
        self._application = application
        self._apart = frozenset(apart)
        self._login_paths = tuple(logins)
        self._threads = ThreadPoolExecutor(threads, "request", initializer=keep_connections)
        self._threads_apart = ThreadPoolExecutor(max(1, len(self._apart)), "request-apart")
        login_threads = ThreadPoolExecutor(LOGINS_AT_ONCE, "login", initializer=keep_connections)
        self._logins = LoginQueue(login_threads, LOGINS_AT_ONCE, LOGINS_WAITING)
        self._slow_paths = tuple(slow)
        self._slow_threads = ThreadPoolExecutor(SLOW_AT_ONCE, "slow", initializer=keep_connections)
        self._uploads = uploads or {}
        self._uploads_now = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP connections are handled, not {scope['type']}.")
        try:
            upload = await self._upload(scope)
        except TooManyUploadsError:
            await send_answer(send, plain_text(503, b"Too many uploads at the same time. Try again.\n", CLOSE))
            return
        try:
            await self._receive(scope, upload, receive, send)
        finally:
            self._uploads_now -= upload is not None

    async def _upload(self, scope: dict[str, Any]) -> Upload | None:
        """Return the bounds of an upload that the user of the request may send. Raises `TooManyUploadsError`."""
        upload = self._uploads.get(scope["path"]) if scope["method"] == "POST" else None
        if upload is None or not await self._in_thread(self._threads, upload.allowed, scope):
            return None
        if self._uploads_now >= UPLOADS_AT_ONCE:
            raise TooManyUploadsError
        self._uploads_now += 1
        return upload

    async def _receive(self, scope: dict[str, Any], upload: Upload | None, receive: Any, send: Any) -> None:
        most, folder = (upload.most, upload.folder) if upload else (MOST_BYTES, None)
        # A container's /tmp may be memory.
        with SpooledTemporaryFile(BYTES_IN_MEMORY, dir=str(folder or settings.STATE_DIR)) as body:
            try:
                if folder:
                    folder.mkdir(parents=True, exist_ok=True)
                size = await read_body(receive, most, body)
            except BodyTooLargeError:
                await send_answer(send, plain_text(413, b"At most %d bytes are taken.\n" % most, CLOSE))
                return
            except OSError as error:
                await send_answer(
                    send, plain_text(507, f"The body cannot be kept: {error.strerror}.\n".encode(), CLOSE)
                )
                return
            if size is not None:
                await send_answer(send, await self._answer_in_thread(scope, body, size))

    async def _answer_in_thread(self, scope: dict[str, Any], body: IO[bytes], size: int) -> Answer:
        try:
            environ = wsgi_environ(scope, body, size)
        except UnicodeDecodeError:
            return plain_text(400, b"")
        if scope["method"] == "POST" and scope["path"].startswith(self._login_paths):
            return await self._answer_login(environ)
        answer: Answer = await self._in_thread(self._threads_for(scope["path"]), self._answer, environ)
        return answer

    def _threads_for(self, path: str) -> ThreadPoolExecutor:
        if path in self._apart:
            return self._threads_apart
        return self._slow_threads if path.startswith(self._slow_paths) else self._threads

    async def _in_thread(self, threads: ThreadPoolExecutor, function: Callable[..., Any], argument: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(threads, function, argument)

    async def _answer_login(self, environ: dict[str, Any]) -> Answer:
        arrived_at = asyncio.get_running_loop().time()
        client = environ.get("REMOTE_ADDR", ""), user_of(environ["wsgi.input"])
        try:
            answer = await self._logins.run(*client, self._answer, environ)
        except QueueFullError:
            return plain_text(503, b"Too many logins at the same time. Try again.\n", (b"retry-after", b"1"))
        takes = {200: WRONG_LOGIN_SECONDS, 429: REFUSED_GUESS_SECONDS}.get(answer.status, 0.0)
        if answer.status == HTTPStatus.FOUND:
            self._logins.succeeded(*client)
        await asyncio.sleep(arrived_at + takes - asyncio.get_running_loop().time())
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


async def read_body(receive: Any, most: int, body: IO[bytes]) -> int | None:
    """Write the request's body to the file, and return its size, None if the client disconnects.

    Raises `BodyTooLargeError`, and OSError if the file cannot be written.
    """
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise BodyTooLargeError
        # A disk may be slow, memory is not.
        if size > BYTES_IN_MEMORY:
            await asyncio.to_thread(body.write, part)
        else:
            body.write(part)
        more = message.get("more_body", False)
    body.seek(0)
    return size


def wsgi_environ(scope: dict[str, Any], body: IO[bytes], size: int) -> dict[str, Any]:
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
        "wsgi.input": body,
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
    environ["CONTENT_LENGTH"] = str(size)
    return environ


def plain_text(status: int, text: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    """Return an answer in plain text."""
    return Answer(status, [(b"content-type", b"text/plain; charset=utf-8"), *STRICT, *headers], text)


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
