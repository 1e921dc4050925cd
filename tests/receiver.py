"""A local HTTP server that keeps the messages of an alert channel."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Keeps the posted messages; answers each request with the next status of `answers`, then with 200."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.paths.append(self.path)
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200:
                    receiver.messages.append(json.loads(body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def address(self, token: str = "token") -> str:
        """Return an apprise URL of this server; its user, password and path must stay secret."""
        return f"json://user-{token}:password-{token}@127.0.0.1:{self.server.server_port}/path-{token}"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
