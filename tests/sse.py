"""A client of server-sent events, as small as a test wants it."""

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
    """`data` is parsed; `kind` is empty where there was none, as in a heartbeat."""

    id: str = ""
    kind: str = ""
    data: Any = None


@dataclass
class Listener:
    """Connected to `path`; a status that is not 200 is kept in `status`."""

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
        """What comes next, up to an empty line; None at the end."""
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
        """The next event of one of the kinds, by default of a stream."""
        while (found := self.block()) is not None:
            if found.kind in (kinds or STREAMED):
                return found
        raise EOFError("the stream has ended")

    def ready(self) -> "Listener":
        """Once it hears everything that is announced from now on."""
        while not (found := self.block()) or not found.id:
            assert found is not None
        return self

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def log_in(port: int, user: str, password: str) -> str:
    """The key of a new session."""
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


def deaf(port: int, cookie: str) -> socket.socket:
    """A connection to /live/ that takes little and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, port))
    client.sendall(f"GET /live/ HTTP/1.1\r\nHost: {HOST}\r\nCookie: sessionid={cookie}\r\n\r\n".encode())
    return client
