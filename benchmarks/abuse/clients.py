"""Clients with different addresses: every address 127.x.y.z belongs to this machine."""

import http.client
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.system.running_system import LOCAL

LOGIN = "/accounts/login/"


@dataclass
class Browser:
    """A client at an address that sends each request over a new connection; it keeps cookies."""

    port: int
    address: str
    cookies: dict[str, str] = field(default_factory=dict)

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> tuple[int, float]:
        """Return the status of the answer, and the seconds until it was complete."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection(LOCAL, self.port, timeout=60, source_address=(self.address, 0))
        try:
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            connection.request(method, path, body, {"Cookie": cookies, **(headers or {})})
            response = connection.getresponse()
            response.read()
        finally:
            connection.close()
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response.status, time.perf_counter() - started

    def log_in(self, user: str, password: str) -> tuple[int, float]:
        """Send the login form; status 302 means success. Return the status and the seconds until the answer."""
        if "csrftoken" not in self.cookies:
            self.request("GET", LOGIN)
        fields = {"username": user, "password": password, "csrfmiddlewaretoken": self.cookies["csrftoken"]}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", LOGIN, form, urllib.parse.urlencode(fields))
