"""The web process with HTTPS=1, as a proxy that terminates HTTPS calls it."""

import http.client
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import pytest

from quantum_trader.processes import COMMANDS
from tests import databases
from tests.prepared import PreparedPython
from tests.waiting import wait_for

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SITE = "https://trader.example.org"
LOGIN = "/accounts/login/"
PASSWORD = "for-tests"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, python: PreparedPython) -> Iterator[int]:
    """The port of a web process with a user; its listening socket is handed over, so that no other process takes it."""
    folder = tmp_path_factory.mktemp("https")
    with databases.migrated(folder, "https"), socket.create_server(("127.0.0.1", 0)) as listener:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "STATE_DIR": str(folder),
            "HTTPS": "1",
            "ALLOWED_HOSTS": "trader.example.org",
            "CSRF_TRUSTED_ORIGINS": SITE,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
        }
        user = ["manage.py", "createsuperuser", "--noinput", "--username", "admin", "--email", ""]
        python.run(user, environment)
        command = [*COMMANDS["web"], "--fd", str(listener.fileno())]
        web = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[listener.fileno()])
        port = listener.getsockname()[1]
        try:
            wait_for(lambda: request(port, "GET", "/healthz").status == http.client.OK, "web to answer", 60)
            yield port
        finally:
            web.terminate()
            web.wait()


def request(
    port: int, method: str, path: str, body: str | None = None, scheme: str = "http", **headers: str
) -> http.client.HTTPResponse:
    """Return the response to a request that reached the proxy with the scheme."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Host": "trader.example.org", "X-Forwarded-Proto": scheme} | headers
    connection.request(method, path, body, headers)
    return connection.getresponse()


def cookies(response: http.client.HTTPResponse) -> SimpleCookie:
    return SimpleCookie("\r\n".join(response.headers.get_all("Set-Cookie", [])))


def log_in(port: int, **headers: str) -> http.client.HTTPResponse:
    """Return the response to the login form, sent over HTTPS."""
    form = request(port, "GET", LOGIN, scheme="https")
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', form.read().decode())
    assert token
    body = urlencode({"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": token[1]})
    cookie = f"csrftoken={cookies(form)['csrftoken'].value}"
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    return request(port, "POST", LOGIN, body, "https", **kind, **headers)


@pytest.mark.parametrize("path", ["/", LOGIN, "/admin/", "/api/v1/runs/?limit=1"])
def test_http_is_redirected_to_https(port, path):
    response = request(port, "GET", path)
    assert (response.status, response.headers["Location"]) == (301, f"{SITE}{path}")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_monitors_are_not_redirected(port, path):
    assert request(port, "GET", path).status != 301


def test_https_is_answered_with_strict_transport_security(port):
    response = request(port, "GET", LOGIN, scheme="https")
    assert (response.status, response.headers["Strict-Transport-Security"]) == (200, "max-age=31536000")
    assert cookies(response)["csrftoken"]["secure"] is True


def test_login_over_https_sets_a_secure_session_cookie(port):
    response = log_in(port, Origin=SITE)
    session = cookies(response)["sessionid"]
    assert response.status == 302
    assert (session["secure"], session["httponly"]) == (True, True)
    page = request(port, "GET", "/", scheme="https", Cookie=f"sessionid={session.value}")
    assert page.status == 200


@pytest.mark.parametrize("origin", ["http://trader.example.org", "https://other.example.org"])
def test_login_from_another_origin_is_refused(port, origin):
    response = log_in(port, Origin=origin)
    assert (response.status, "sessionid" in cookies(response)) == (403, False)
