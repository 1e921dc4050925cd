import asyncio
import re

from dashboard.live import entries, following
from dashboard.live.entries import Entry
from dashboard.live.follower import Follower
from dashboard.live.hub import Hub
from tests.dashboard.live.publishing import PROGRESS


async def in_thread(function):
    return {}


def test_ended_stream_does_not_skip_entries(streams):
    """The client receives again the entries that the hub read during the end, because no later id was sent."""

    async def until_the_end():
        hub, follower, sent, following_now = Hub(in_thread), Follower(None), [], asyncio.Event()
        hub.ready.set()
        hub.followers.add(follower)

        async def send(message):
            sent.append(message.get("body", b""))
            if sent[-1] == entries.heartbeat((0, 0)):
                following_now.set()

        task = asyncio.create_task(following.follow(hub, follower, None, send))
        await following_now.wait()
        hub.close()
        hub._deliver([Entry((1, 0), PROGRESS, {})])
        await task
        return b"".join(sent)

    assert re.findall(rb"id: (.*)", asyncio.run(until_the_end())) == [b"0-0"]


def test_reader_with_a_lost_cancellation_changes_nothing(streams, monkeypatch):
    """A changed position would make the next reader send entries twice."""

    class Forgetful:
        async def time(self):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return 1, 0

    async def join_and_leave():
        hub, follower = Hub(in_thread), Follower(None)
        monkeypatch.setattr(hub, "client", Forgetful())
        hub.join(follower)
        tasks = hub._tasks
        await asyncio.sleep(0)
        hub.leave(follower)
        await asyncio.wait(tasks, timeout=5)
        return hub.ready.is_set()

    assert not asyncio.run(join_and_leave())
