"""Connections to private addresses are refused, wherever a name or a redirect leads."""

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from rl_training.core import outgoing


class Redirects(BaseHTTPRequestHandler):
    """Redirects every client to another address of this machine."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"http://127.0.0.2:{self.server.server_port}/")  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setenv(outgoing.SETTING, "0")
    server = HTTPServer(("127.0.0.1", 0), Redirects)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def request(url: str) -> str:
    """Return the message of the error with which the request fails."""
    with pytest.raises(urllib.error.URLError) as error:
        urllib.request.urlopen(url, timeout=10)
    return str(error.value)


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700:4700::1111", "64:ff9b::8.8.8.8"])
def test_address_of_the_internet_is_public(host):
    assert outgoing.is_public(host)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::"),
        *("::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "fec0::1"),
        *("localhost", "example.org", ""),
    ],
)
def test_private_address_or_name_is_not_public(host):
    assert not outgoing.is_public(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_connection_to_this_machine_is_refused(port, host):
    with outgoing.guarded() as guard:
        assert outgoing.REFUSED in request(f"http://{host}:{port}/")
    assert guard.refused


def test_redirect_to_a_private_address_is_refused(port, monkeypatch):
    monkeypatch.setattr(outgoing, "is_public", lambda host: host == "127.0.0.1")
    with outgoing.guarded() as guard:
        assert outgoing.REFUSED in request(f"http://127.0.0.1:{port}/")
    assert guard.refused


def test_other_connections_are_not_refused(port, monkeypatch):
    asked = f"http://127.0.0.1:{port}/"
    with outgoing.guarded() as guard:
        other = threading.Thread(target=request, args=(asked,))
        other.start()
        other.join()
        monkeypatch.setenv("http_proxy", asked)
    with outgoing.guarded() as through_proxy:
        request("http://example.org/")
    monkeypatch.setenv(outgoing.SETTING, "1")
    with outgoing.guarded() as allowed:
        request(asked)
    assert [guard.refused, through_proxy.refused, allowed.refused] == [False] * 3
