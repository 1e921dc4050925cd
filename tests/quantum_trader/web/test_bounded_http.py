"""The bounds of connections and requests, with a client on a real socket."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from quantum_trader.web import bounded_http
from quantum_trader.web.bounded_http import BoundedHttp

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the size of the body; /large answers with more than the buffers of a client that does not read."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    text = b"x" * 50_000_000 if scope["path"] == "/large" else b"%d" % size
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that lets clients talk to a server one after the other, and returns what each returns."""
    for name in ("HEAD_SECONDS", "BODY_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(bounded_http, name, 0.2)
    monkeypatch.setattr(BoundedHttp, "uploads", ("/upload/",))
    monkeypatch.setattr(BoundedHttp, "open", Counter())

    async def serve(clients: tuple[Client, ...]) -> list[Any]:
        config, state = Config(answer, lifespan="off", ws="none", log_config=None), ServerState()
        config.load()
        loop = asyncio.get_running_loop()
        async with await loop.create_server(lambda: BoundedHttp(config, state, {}), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return [await client(*await asyncio.open_connection("127.0.0.1", port)) for client in clients]

    return lambda *clients: asyncio.run(serve(clients))


def sends(data: bytes) -> Client:
    """Return a client that sends, and returns the statuses of all answers until the connection ends."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[int]:
        writer.write(data)
        found = b""
        # A connection that ends while the server has not read everything is reset.
        with contextlib.suppress(ConnectionError):
            while part := await asyncio.wait_for(reader.read(65_536), 10):
                found += part
        writer.close()
        return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", found)]

    return client


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (LAST, [200]),
        (GET * 2 + LAST, [200, 200, 200]),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", [431]),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000, [431]),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 101 + b"\r\n", [431]),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", [414]),
        (b"GET / HT", [408]),
        (POST % b"/" + b"a", [408]),
        (POST % b"/upload/" + b"a", [408]),
        (b"", []),
        (b"nonsense\r\n\r\n", [400]),
    ],
    ids=["one", "three", "long", "endless", "many", "url", "slow", "slow body", "slow upload", "nothing", "no HTTP"],
)
def test_request_is_answered_or_refused(talk, data, statuses):
    [found] = talk(sends(data))
    # The answer to a request that was not read to its end may be lost.
    assert found == statuses or (len(data) > 1_000_000 and not found)


def test_upload_that_makes_progress_may_take_longer(talk, monkeypatch):
    monkeypatch.setattr(bounded_http, "UPLOAD_BYTES_PER_SECOND", 1)
    waited = asyncio.Event()
    too_slow = BoundedHttp._too_slow

    def noted(self: BoundedHttp) -> None:
        too_slow(self)
        waited.set()

    monkeypatch.setattr(BoundedHttp, "_too_slow", noted)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(POST % b"/upload/" + b"12345")
        await asyncio.wait_for(waited.wait(), 10)
        writer.write(b"67890")
        return await asyncio.wait_for(reader.readuntil(b"10"), 10)

    assert talk(client)[0].startswith(b"HTTP/1.1 200")


def test_connections_beyond_those_of_an_address_are_refused(talk, settings):
    settings.CONNECTIONS_PER_ADDRESS = 1

    async def stays(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.StreamWriter:
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        return writer

    assert talk(stays, sends(b""))[1] == [503]


def test_proxy_may_open_more_connections(talk, settings):
    settings.CONNECTIONS_PER_ADDRESS, settings.TRUSTED_PROXIES = 0, ["127.0.0.1/32"]
    bounded_http.trusted.cache_clear()
    assert talk(sends(LAST)) == [[200]]
    bounded_http.trusted.cache_clear()


def test_too_many_requests_before_an_answer_are_refused(talk):
    [found] = talk(sends(GET * 50))
    assert found.count(200) < 20


def test_client_that_does_not_read_is_disconnected(talk):
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            while not BoundedHttp.open:
                await asyncio.sleep(0)
            while BoundedHttp.open:
                await asyncio.sleep(0.01)
        return True

    assert talk(client) == [True]
