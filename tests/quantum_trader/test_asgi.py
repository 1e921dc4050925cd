"""Tests of the ASGI application, called as uvicorn calls it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from quantum_trader import threaded
from quantum_trader.asgi import HEALTH, application
from quantum_trader.threaded import ThreadedHandler, Upload
from quantum_trader.web.strict_headers import STRICT

MEETING = threading.Barrier(2, timeout=10)
LEAVE = threading.Event()


def thread(request: HttpRequest) -> HttpResponse:
    """Answer with the thread, its database connection and the id of the PostgreSQL process that serves it."""
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
    path("text", lambda request: HttpResponse(request.GET["text"], headers={"X-Text": "é"})),
    path("proto", lambda request: HttpResponse(request.headers.get("X-Forwarded-Proto", "none"))),
    path("parts", lambda request: StreamingHttpResponse(iter([b"one ", b"two"]))),
    path("apart", lambda request: HttpResponse("apart")),
    path("login", csrf_exempt(lambda request: HttpResponse(status=int(request.body)))),
]


async def ask(
    application: Any,
    path: str,
    body: bytes = b"",
    query: bytes = b"",
    method: str = "GET",
    header: tuple[bytes, bytes] = (b"accept", b"*/*"),
) -> Any:
    """Return status, headers and body of the response."""
    scope = {"type": "http", "http_version": "1.1", "method": method, "path": path, "query_string": query}
    headers = [(b"host", b"localhost"), (b"content-length", str(len(body)).encode()), header]
    communicator = ApplicationCommunicator(application, scope | {"headers": headers})
    await communicator.send_input({"type": "http.request", "body": body})
    start = await communicator.receive_output(10)
    content, more = b"", True
    while more:
        part = await communicator.receive_output(10)
        content, more = content + part.get("body", b""), part.get("more_body", False)
    await communicator.wait(10)
    return start["status"], dict(start["headers"]), content


@pytest.fixture
def handler(settings: Any) -> ThreadedHandler:
    settings.ROOT_URLCONF = __name__
    return ThreadedHandler(WSGIHandler(), 1, apart=["/apart"])


@contextmanager
def busy(handler: ThreadedHandler) -> Iterator[None]:
    """Keep all threads of the handler busy with a request."""
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
def test_thread_keeps_its_database_connection(handler):
    answers = {asyncio.run(ask(handler, "/thread"))[2] for _ in range(3)}
    handler._threads.submit(connections.close_all).result()
    assert len(answers) == 1


@pytest.mark.django_db(transaction=True)
def test_connection_that_the_server_ended_is_replaced(handler):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no server that could end a connection")
    server = int(asyncio.run(ask(handler, "/thread"))[2].split()[-1])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [server])
    status, _, _ = asyncio.run(ask(handler, "/thread"))
    handler._threads.submit(connections.close_all).result()
    assert status == 200


def test_path_with_its_own_thread_is_answered_while_others_wait(handler):
    with busy(handler):
        assert asyncio.run(ask(handler, "/apart"))[2] == b"apart"


def test_login_has_its_own_threads_and_a_wrong_one_is_answered_late(settings, monkeypatch):
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(threaded, "WRONG_LOGIN_SECONDS", 0.05)
    monkeypatch.setattr(threaded, "REFUSED_GUESS_SECONDS", 0.1)
    handler = ThreadedHandler(WSGIHandler(), 1, logins=["/login"])
    with busy(handler):
        for status, seconds in ((302, 0), (200, 0.05), (429, 0.1)):
            started = time.monotonic()
            assert asyncio.run(ask(handler, "/login", str(status).encode(), method="POST"))[0] == status
            assert time.monotonic() - started >= seconds


@pytest.mark.parametrize(
    ("peer", "proxies", "seen"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["127.0.0.1/32"], "203.0.113.9"),
        ("10.0.0.2", ["10.0.0.0/8"], "192.0.2.7"),
    ],
)
def test_address_of_the_client_is_taken_from_trusted_proxies_only(peer, proxies, seen):
    found = []

    async def note_client(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope["client"][0])

    headers = [(b"x-forwarded-for", b"198.51.100.1, 192.0.2.7")]
    scope: Any = {"type": "http", "client": (peer, 1234), "headers": headers}
    asyncio.run(type(application)(note_client, proxies)(scope, None, None))  # type: ignore[arg-type]
    assert found == [seen]


def test_body_arrives_and_streaming_response_is_sent(handler):
    assert asyncio.run(ask(handler, "/echo", b"some text", method="PUT"))[2] == b"some text"
    assert asyncio.run(ask(handler, "/parts"))[2] == b"one two"


def test_body_in_chunks_has_a_content_length(handler):
    async def send_chunks() -> bytes:
        scope = {"type": "http", "http_version": "1.1", "method": "PUT", "path": "/length", "query_string": b""}
        headers = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
        communicator = ApplicationCommunicator(handler, scope | {"headers": headers})
        await communicator.send_input({"type": "http.request", "body": b"some ", "more_body": True})
        await communicator.send_input({"type": "http.request", "body": b"text"})
        await communicator.receive_output(10)
        body: bytes = (await communicator.receive_output(10))["body"]
        return body

    assert asyncio.run(send_chunks()) == b"9"


def test_body_that_is_too_large_is_refused(handler, monkeypatch):
    monkeypatch.setattr(threaded, "MOST_BYTES", 8)
    status, headers, content = asyncio.run(ask(handler, "/echo", b"some text", method="PUT"))
    assert (status, content) == (413, b"At most 8 bytes are taken.\n")
    assert {*STRICT} <= {*headers.items()}
    assert asyncio.run(ask(handler, "/echo", b"eight by", method="PUT"))[0] == 200


def test_query_that_is_not_utf_8_is_a_bad_request(handler):
    assert asyncio.run(ask(handler, "/echo", query=b"policy=\xff"))[0] == 400


def test_query_and_headers_keep_their_characters(handler):
    status, headers, content = asyncio.run(ask(handler, "/text", query="text=☃".encode()))
    assert (status, headers[b"X-Text"], content.decode()) == (200, "é".encode("latin-1"), "☃")


def test_header_with_an_underscore_is_dropped(handler):
    for name, seen in ((b"x-forwarded-proto", b"https"), (b"x_forwarded_proto", b"none")):
        assert asyncio.run(ask(handler, "/proto", header=(name, b"https")))[2] == seen


@pytest.mark.parametrize("path", HEALTH)
def test_health_paths_with_their_own_threads_exist(path, client):
    assert client.post(path).status_code == 405


@pytest.mark.parametrize(
    "name", ["dashboard/style.css", "dashboard/live.js", "dashboard/icon.svg", "admin/css/base.css"]
)
def test_static_files_are_served(name):
    status, headers, content = asyncio.run(ask(application, f"/static/{name}"))
    assert status == 200
    assert {*STRICT} - {*headers.items()} == {(b"cache-control", b"no-store")}
    assert content


@pytest.mark.parametrize("path", ["/static/other.css", "/static/../manage.py", "/other"])
def test_unknown_file_is_not_found(path):
    assert asyncio.run(ask(application, path))[0] == 404


@pytest.mark.parametrize(
    ("allowed", "at_once", "folder", "status"),
    [(True, 1, "new", 200), (False, 1, "new", 413), (True, 0, "new", 503), (True, 1, "file", 507)],
    ids=["permitted", "not permitted", "too many", "disk"],
)
def test_body_of_a_permitted_upload_may_be_large(settings, tmp_path, monkeypatch, allowed, at_once, folder, status):
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(threaded, "MOST_BYTES", 8)
    monkeypatch.setattr(threaded, "UPLOADS_AT_ONCE", at_once)
    (tmp_path / "file").touch()
    uploads = {"/length": Upload(200_000, tmp_path / folder, lambda scope: allowed)}
    handler = ThreadedHandler(WSGIHandler(), 1, uploads=uploads)
    answer = asyncio.run(ask(handler, "/length", b"x" * 100_000, method="POST"))
    assert answer[0] == status
    assert (answer[2] == b"100000") == (status == 200)
    assert asyncio.run(ask(handler, "/echo", b"x" * 9, method="POST"))[0] == 413
