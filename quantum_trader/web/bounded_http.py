"""uvicorn's HTTP protocol with bounds for what clients send, and for how long they may take.

uvicorn bounds neither. With it alone, a header of 64 MB was read in full, which delayed other requests by 2.1 s and
took 296 MB of memory, and 400 requests whose headers never ended stayed open. The methods that are overridden here are
callbacks of asyncio and of the parser, which both document.

A client that breaks a bound gets a status and loses its connection: 408 too slow, 414 or 431 too long, 503 too many
connections. Bodies are bounded in size by the application (quantum_trader/threaded.py).
"""

from asyncio import TimerHandle, Transport
from collections import Counter
from collections.abc import Collection
from functools import cache
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from django.conf import settings
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from quantum_trader.web.networks import network_of

log = structlog.get_logger(__name__)

# Cookies, tokens and filters take a few hundred bytes.
HEAD_BYTES, HEADERS = 32_768, 100
# The limits of the time from the first byte of a request, or from the connection, to the end of the headers, and from
# there to the end of the body.
HEAD_SECONDS, BODY_SECONDS = 8.0, 8.0
# Uploads may take longer if their average speed is at least this.
UPLOAD_BYTES_PER_SECOND = 16_384
# A client that reads nothing of an answer for so long is disconnected.
ANSWER_SECONDS = 30.0
# The largest number of requests that a client may send before it gets the answer to an earlier request.
PIPELINED = 16

IDLE, HEAD, BODY, ANSWER = "idle", "head", "body", "answer"


class RefusedError(Exception):
    """Stops the parser. The connection holds the status of the answer."""


class BoundedHttp(HttpToolsProtocol):
    """One connection. `uploads` are the paths whose bodies may be large; `open` counts the connections by network."""

    uploads: ClassVar[Collection[str]] = ()
    open: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._phase, self._began = HEAD, self.loop.time()
        self._received = self._sizes = self._headers = self._body = 0
        self._refusal = 0
        self._timer: TimerHandle | None = None
        self._unread: TimerHandle | None = None
        self._address = self.client[0] if self.client else ""
        self._network = network_of(self._address)
        self.open[self._network] += 1
        of_address = settings.CONNECTIONS_PER_ADDRESS
        if len(self.connections) > settings.CONNECTIONS or (
            self.open[self._network] > of_address and not is_proxy(self._address)
        ):
            self._refuse(503)
            return
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()
        if self._unread:
            self._unread.cancel()
        self.open[self._network] -= 1
        if not self.open[self._network]:
            del self.open[self._network]

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._phase == IDLE:
            self._begin()
        if self._phase == HEAD:
            self._received += len(data)
        super().data_received(data)
        # The parser itself keeps a header until it is complete.
        if self._phase == HEAD and self._received > HEAD_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            self._stop_parser(503)
        super().on_message_begin()
        self._sizes = self._headers = 0
        if self._phase != HEAD:
            self._begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._sizes += len(url)
        if self._sizes > HEAD_BYTES:
            self._stop_parser(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._sizes += len(name) + len(value)
        if self._headers > HEADERS or self._sizes > HEAD_BYTES:
            self._stop_parser(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._phase, self._began, self._body = BODY, self.loop.time(), 0
        self._wait(BODY_SECONDS)

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._phase = ANSWER
        self._stop_waiting()
        if self.cycle and self.cycle.response_complete:
            self._phase = IDLE

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase == ANSWER:
            self._phase = IDLE

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(ANSWER_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        if self._refusal:
            self._refuse(self._refusal)
        else:
            super().send_400_response(msg)

    def _begin(self) -> None:
        self._phase, self._began, self._received = HEAD, self.loop.time(), 0
        self._wait(HEAD_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        """Refuse the request unless it is an upload that makes progress, or waits because the server does not read."""
        fast = self._body >= UPLOAD_BYTES_PER_SECOND * (self.loop.time() - self._began)
        if self.flow.read_paused or (self._phase == BODY and fast and self.scope["path"] in self.uploads):
            self._wait(BODY_SECONDS)
        elif self._received or self._phase == BODY:
            self._refuse(408)
        else:
            self.transport.close()

    def _stop_parser(self, status: int) -> None:
        self._refusal = status
        raise RefusedError

    def _refuse(self, status: int) -> None:
        """Answer with the status, unless another answer has begun, and close the connection."""
        self._stop_waiting()
        log.info("Request refused", status=status, address=self._address)
        if self.cycle and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        text = HTTPStatus(status).phrase.encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            + b"content-length: %d\r\n\r\n%b" % (len(text), text)
        )
        self.transport.close()


@cache
def trusted() -> Any:
    return ProxyHeadersMiddleware(app=None, trusted_hosts=settings.TRUSTED_PROXIES).trusted_hosts  # type: ignore[arg-type]


def is_proxy(address: str) -> bool:
    """Return whether the address is a trusted proxy's, whose connections carry requests of many clients."""
    return address in trusted()
