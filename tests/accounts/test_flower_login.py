"""Flower answers only a right login, and counts every wrong one, however its header is written."""

import asyncio
import base64
import http.client
from types import SimpleNamespace

import pytest
import tornado.web
from flower.api import BaseApiHandler
from flower.urls import handlers
from flower.views import BaseHandler
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from rl_training.accounts import flower_login
from rl_training.accounts.models import FailedLogins

pytestmark = pytest.mark.django_db(transaction=True)


class Pages(tornado.web.Application):
    """Flower's pages, without its collection of events."""

    options = SimpleNamespace(basic_auth=["flow:secret"], auth="", debug=False)


@pytest.fixture
def status(monkeypatch):
    """Return a function that returns the statuses of requests to Flower's handlers with these headers."""
    for handler in (BaseHandler, BaseApiHandler):
        monkeypatch.setattr(handler, "prepare", flower_login.limited(handler.prepare))

    async def answers(path, headers):
        listener, port = bind_unused_port()
        server = HTTPServer(Pages(handlers))
        server.add_socket(listener)
        try:
            return [await asyncio.to_thread(get, port, path, header) for header in headers]
        finally:
            server.stop()

    return lambda path, *headers: asyncio.run(answers(path, headers))


def get(port, path, header):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={} if header is None else {"Authorization": header})
    found = connection.getresponse().status
    connection.close()
    return found


def basic(login, space=" "):
    return f"Basic{space}{base64.b64encode(login.encode()).decode()}"


@pytest.mark.parametrize("path", ["/", "/metrics", "/logout", "/api/workers", "/nowhere"])
def test_flower_shows_nothing_without_a_login(path, status):
    assert status(path, None, basic("flow:wrong")) == [401, 401]


def test_health_of_flower_needs_no_login(status):
    assert status("/healthcheck", None) == [200]


@pytest.mark.parametrize(
    "header", [basic("flow:wrong", "\t"), basic("flow:wrong", "  "), basic("flöw:secret"), "Basic"]
)
def test_wrong_login_in_any_form_is_counted(header, status):
    assert status("/", *[header] * 6) == [401] * 5 + [429]
    assert FailedLogins.objects.filter(kind="user").get().failures == 5
