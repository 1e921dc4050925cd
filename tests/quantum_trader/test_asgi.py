"""What uvicorn is given, asked as uvicorn asks it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from quantum_trader import threaded
from quantum_trader.asgi import HEALTH, application
from quantum_trader.threaded import ThreadedHandler

MEETING = threading.Barrier(2, timeout=10)
LEAVE = threading.Event()


def thread(request: HttpRequest) -> HttpResponse:
    """The thread, its database connection and, of PostgreSQL, the process at the other end."""
    connection.ensure_connection()
    server = connection.connection.info.backend_pid if connection.vendor == "postgresql" else 0
    return HttpResponse(f"{threading.get_ident()} {id(connection.connection)} {server}")


def wait(request: HttpRequest) -> HttpResponse:
    MEETING.wait()
    LEAVE.wait(10)
    return HttpResponse("left")


urlpatterns = [
    path("thread", thread),
    path("wait", wait),
    path("echo", csrf_exempt(lambda request: HttpResponse(request.body))),
    path("length", csrf_exempt(lambda request: HttpResponse(request.META["CONTENT_LENGTH"]))),
    path("parts", lambda request: StreamingHttpResponse(iter([b"one ", b"two"]))),
    path("apart", lambda request: HttpResponse("apart")),
]


async def ask(application: Any, path: str, body: bytes = b"", query: bytes = b"", method: str = "GET") -> Any:
    """Status, headers and body."""
    scope = {"type": "http", "http_version": "1.1", "method": method, "path": path, "query_string": query}
    headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode())]
    asked = ApplicationCommunicator(application, scope | {"headers": headers})
    await asked.send_input({"type": "http.request", "body": body})
    start = await asked.receive_output(10)
    content, more = b"", True
    while more:
        part = await asked.receive_output(10)
        content, more = content + part.get("body", b""), part.get("more_body", False)
    await asked.wait(10)
    return start["status"], dict(start["headers"]), content


@pytest.fixture
def handler(settings: Any) -> ThreadedHandler:
    settings.ROOT_URLCONF = __name__
    return ThreadedHandler(1, apart=["/apart"])


@contextmanager
def busy(handler: ThreadedHandler) -> Iterator[None]:
    """All of the handler's threads are at a request."""
    waiting = threading.Thread(target=lambda: asyncio.run(ask(handler, "/wait")))
    waiting.start()
    MEETING.wait()
    try:
        yield
    finally:
        LEAVE.set()
        waiting.join()
        LEAVE.clear()


@pytest.mark.django_db(transaction=True)
def test_a_thread_keeps_its_database_connection(handler):
    answers = {asyncio.run(ask(handler, "/thread"))[2] for _ in range(3)}
    handler._threads.submit(connections.close_all).result()
    assert len(answers) == 1


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_server_ended_is_made_anew(handler):
    if connection.vendor != "postgresql":
        pytest.skip("a file cannot hang up")
    server = int(asyncio.run(ask(handler, "/thread"))[2].split()[-1])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [server])
    status, _, _ = asyncio.run(ask(handler, "/thread"))
    handler._threads.submit(connections.close_all).result()
    assert status == 200


def test_what_is_apart_is_answered_while_all_others_wait(handler):
    with busy(handler):
        assert asyncio.run(ask(handler, "/apart"))[2] == b"apart"


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_the_body_arrives_and_a_stream_leaves(handler):
    assert asyncio.run(ask(handler, "/echo", b"some text", method="PUT"))[2] == b"some text"
    assert asyncio.run(ask(handler, "/parts"))[2] == b"one two"


def test_a_body_that_comes_in_chunks_has_a_length(handler):
    async def send_chunks() -> bytes:
        scope = {"type": "http", "http_version": "1.1", "method": "PUT", "path": "/length", "query_string": b""}
        headers = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
        asked = ApplicationCommunicator(handler, scope | {"headers": headers})
        await asked.send_input({"type": "http.request", "body": b"some ", "more_body": True})
        await asked.send_input({"type": "http.request", "body": b"text"})
        await asked.receive_output(10)
        return (await asked.receive_output(10))["body"]

    assert asyncio.run(send_chunks()) == b"9"


def test_a_body_that_nothing_takes_is_refused(handler, monkeypatch):
    monkeypatch.setattr(threaded, "MOST_BYTES", 8)
    status, _, content = asyncio.run(ask(handler, "/echo", b"some text", method="PUT"))
    assert (status, content) == (413, b"At most 8 bytes are taken.\n")
    assert asyncio.run(ask(handler, "/echo", b"eight by", method="PUT"))[0] == 200


def test_a_query_that_is_no_text_is_a_bad_request(handler):
    assert asyncio.run(ask(handler, "/echo", query=b"policy=\xff"))[0] == 400


@pytest.mark.parametrize("path", HEALTH)
def test_what_is_apart_there_is(path, client):
    assert client.post(path).status_code == 405


@pytest.mark.parametrize(
    "name", ["dashboard/style.css", "dashboard/live.js", "dashboard/icon.svg", "admin/css/base.css"]
)
def test_the_files_of_the_pages_are_served(name):
    status, headers, content = asyncio.run(ask(application, f"/static/{name}"))
    assert status == 200
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert content


@pytest.mark.parametrize("path", ["/static/other.css", "/static/../manage.py", "/other"])
def test_what_there_is_not_is_not_found(path):
    assert asyncio.run(ask(application, path))[0] == 404
