import asyncio

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connections

from dashboard.live import app


@pytest.mark.django_db(transaction=True)
def test_logout_ends_the_stream(client, admin_user, streams, monkeypatch):
    monkeypatch.setattr(app, "RECHECK_SECONDS", 0.1)
    client.force_login(admin_user)
    application = app.LiveEvents(None, threads=1)

    async def until_the_end():
        stream = ApplicationCommunicator(application, scope(client.cookies["sessionid"].value))
        await stream.send_input({"type": "http.request"})
        parts = [await stream.receive_output(5), await stream.receive_output(5)]
        await asyncio.to_thread(sign_out, client)
        while parts[-1].get("more_body"):
            parts.append(await stream.receive_output(10))
        await stream.wait(5)
        return parts

    parts = asyncio.run(until_the_end())
    application.threads.submit(connections.close_all).result()
    assert parts[0]["status"] == 200
    assert parts[-1] == {"type": "http.response.body", "body": b""}


def sign_out(client):
    client.post("/accounts/logout/")
    connections.close_all()


def scope(session):
    headers = [(b"host", b"localhost"), (b"cookie", f"sessionid={session}".encode())]
    return {"type": "http", "method": "GET", "path": "/live/", "query_string": b"", "headers": headers}
