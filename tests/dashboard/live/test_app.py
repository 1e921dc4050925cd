import asyncio

import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.db import connections

from dashboard.live import app, hub
from dashboard.live.follower import Follower


def sign_out(client):
    client.post("/accounts/logout/")
    connections.close_all()


def disable(client):
    User.objects.update(is_active=False)
    connections.close_all()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("loses_access", "module", "pause"), [(sign_out, hub, "SESSIONS_SECONDS"), (disable, app, "RECHECK_SECONDS")]
)
def test_stream_ends_when_its_user_loses_access(client, admin_user, streams, monkeypatch, loses_access, module, pause):
    monkeypatch.setattr(module, pause, 0.1)
    client.force_login(admin_user)
    application = app.LiveEvents(None, threads=1)

    async def until_the_end():
        stream = ApplicationCommunicator(application, scope(client.cookies["sessionid"].value))
        await stream.send_input({"type": "http.request"})
        parts = [await stream.receive_output(5), await stream.receive_output(5)]
        await asyncio.to_thread(loses_access, client)
        while parts[-1].get("more_body"):
            parts.append(await stream.receive_output(10))
        await stream.wait(5)
        return parts

    parts = asyncio.run(until_the_end())
    application.threads.submit(connections.close_all).result()
    assert parts[0]["status"] == 200
    assert parts[-1] == {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize(
    ("user", "address", "status"), [(1, "10.0.0.1", 429), (2, "10.0.0.1", 200), (3, "10.0.0.2", 429)]
)
def test_streams_of_one_user_and_of_one_address_are_limited(settings, user, address, status):
    settings.LIVE_STREAMS_PER_USER, settings.LIVE_STREAMS_PER_ADDRESS = 1, 2
    found = hub.Hub(lambda: None)
    found.followers = {Follower(None, 1, "10.0.0.1"), Follower(None, 4, "10.0.0.2"), Follower(None, 5, "10.0.0.2")}
    assert app.room_for(Follower(None, user, address), found) == status


def scope(session):
    headers = [(b"host", b"localhost"), (b"cookie", f"sessionid={session}".encode())]
    return {"type": "http", "method": "GET", "path": "/live/", "query_string": b"", "headers": headers}
