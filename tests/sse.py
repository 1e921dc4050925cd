"""A small client of server-sent events for tests."""

import http.client
import json
import re
import socket
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"
STREAMED = ("started", "progress", "completed")


@dataclass
class Event:
    """An event. `data` is parsed JSON; `kind` is empty for an event without a name, such as a heartbeat."""

    id: str = ""
    kind: str = ""
    data: Any = None


@dataclass
class Listener:
    """A connection to the stream at `path`. `status` is the HTTP status of the response."""

    port: int
    cookie: str = ""
    query: str = ""
    last_id: str = ""
    timeout: float = 20
    method: str = "GET"
    host: str = HOST
    path: str = "/live/"
    answer: Any = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection(HOST, self.port, timeout=self.timeout)
        headers = {"Host": self.host} | ({"Cookie": f"sessionid={self.cookie}"} if self.cookie else {})
        headers |= {"Last-Event-ID": self.last_id} if self.last_id else {}
        self.connection.request(self.method, f"{self.path}{self.query}", headers=headers)
        self.answer = self.connection.getresponse()

    @property
    def status(self) -> int:
        return int(self.answer.status)

    def block(self) -> Event | None:
        """Return the next event, or None at the end of the stream."""
        found = Event()
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                found.id = self.last_id = value
            elif name == "event":
                found.kind = value
            elif name == "data":
                found.data = json.loads(value)
            elif line == "\n":
                return found
        return None

    def next(self, *kinds: str) -> Event:
        """Return the next event of one of the kinds, by default those of training streams. Raises `EOFError`."""
        while (found := self.block()) is not None:
            if found.kind in (kinds or STREAMED):
                return found
        raise EOFError("the stream has ended")

    def ready(self) -> "Listener":
        """Wait until the stream delivers all events that are published from now on."""
        while not (found := self.block()) or not found.id:
            assert found is not None
        return self

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def log_in(port: int, user: str, password: str) -> str:
    """Sign in and return the key of the new session."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    connection.request("GET", "/accounts/login/")
    answer = connection.getresponse()
    token = re.search(r"csrftoken=(\w+)", answer.headers["Set-Cookie"])[1]  # type: ignore[index]
    answer.read()
    form = urllib.parse.urlencode({"username": user, "password": password, "csrfmiddlewaretoken": token})
    headers = {"Cookie": f"csrftoken={token}", "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/accounts/login/", form, headers)
    answer = connection.getresponse()
    assert answer.status == 302, answer.read()
    cookies = " ".join(answer.headers.get_all("Set-Cookie") or [])
    connection.close()
    return re.search(r"sessionid=(\w+)", cookies)[1]  # type: ignore[index]


def connect_without_reading(port: int, cookie: str) -> socket.socket:
    """Return a connection to /live/ with a small receive buffer, from which the caller reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, port))
    client.sendall(f"GET /live/ HTTP/1.1\r\nHost: {HOST}\r\nCookie: sessionid={cookie}\r\n\r\n".encode())
    return client
