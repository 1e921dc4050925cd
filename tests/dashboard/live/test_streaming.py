"""Live events of a real web process, with a Redis of its own that may be stopped."""

import asyncio
import json
import re
import time
import uuid

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connections

from dashboard.live import app
from dashboard.live.entries import Entry
from dashboard.live.hub import Follower, Hub
from tests.access_table import ANONYMOUS, LIVE, METHODS, ROLES
from tests.browser.names import PASSWORD
from tests.browser.site import Site
from tests.sse import Listener, deaf, log_in
from tests.waiting import wait_for

STARTED, PROGRESS, COMPLETED = (f"rl_v3.training.{kind}" for kind in ("started", "progress", "completed"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    found = Site(tmp_path_factory.mktemp("live"))
    try:
        found.prepare(hostile=False)
        found.start("web")
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def session(site):
    return log_in(site.port, "viewer", PASSWORD)


@pytest.fixture
def listen(site, session):
    opened = []

    def listener(query="", **options):
        opened.append(Listener(site.port, session, query, **options))
        assert opened[-1].status == 200
        return opened[-1]

    yield listener
    for one in opened:
        one.close()


def announce(site, stream, **payload):
    fields = {"event_id": str(uuid.uuid4()), "trace_id": "0123456789ab", "payload": json.dumps(payload)}
    return site.redis.client.xadd(stream, fields)


def announce_many(site, number, stream=PROGRESS, padding=""):
    pipe = site.redis.client.pipeline(transaction=False)
    for episode in range(number):
        pipe.xadd(stream, {"run_id": "0123456789ab", "payload": json.dumps({"episode": episode, "padding": padding})})
    return pipe.execute()


def test_only_those_who_may_see_runs_hear_of_them(site, session):
    nobody = log_in(site.port, "nobody", PASSWORD)
    asked = (
        {"cookie": ""},
        {"cookie": "no such session"},
        {"cookie": nobody},
        {"cookie": session, "method": "POST"},
        {"cookie": session, "host": "elsewhere.example"},
    )
    assert [Listener(site.port, **options).status for options in asked] == [401, 401, 403, 405, 400]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_answered_as_the_access_table_says(site, role):
    cookie = "" if role == ANONYMOUS else log_in(site.port, role, PASSWORD)

    def answered(method):
        listener = Listener(site.port, cookie, method=method, path=LIVE.path)
        listener.close()
        return str(listener.status)

    assert {method: answered(method) for method in METHODS} == {
        method: LIVE.expected(method, role) for method in METHODS
    }
    assert [answered(method) for method in ("HEAD", "OPTIONS")] == ["405", "405"]


def test_what_the_streams_announce_arrives_with_their_ids(site, listen):
    listener = listen().ready()
    ids = [announce(site, stream, success=True) for stream in (STARTED, PROGRESS, COMPLETED)]
    events = [listener.next() for _ in ids]
    assert [event.kind for event in events] == ["started", "progress", "completed"]
    assert [event.data["entry"] for event in events] == [event.id for event in events] == ids
    assert events[2].data["payload"] == {"success": True}
    assert {(event.data["policy"], event.data["run_id"]) for event in events} == {("rl_v3", "0123456789ab")}


def test_those_who_go_at_once_leave_no_reader_behind(site, session, listen):
    for _ in range(10):
        Listener(site.port, session).close()
    listener = listen().ready()
    ids = [announce(site, PROGRESS, episode=episode) for episode in range(3)]
    assert [listener.next().data["entry"] for _ in ids] == ids


def test_a_policy_is_followed_alone(site, listen):
    listener = listen("?policy=momentum").ready()
    announce(site, PROGRESS, episode=1)
    wanted = announce(site, "momentum.training.progress", episode=2)
    assert listener.next().id == wanted


def test_one_that_comes_back_hears_all_that_it_missed_once_and_in_order(site, listen):
    first = listen("?policy=rl_v3").ready()
    heard = [announce(site, PROGRESS, episode=0)]
    assert first.next().id == heard[0]
    first.close()
    # More than are read at once, of two streams.
    missed = announce_many(site, 700) + announce_many(site, 600, STARTED)
    again = listen("?policy=rl_v3", last_id=first.last_id)
    live = announce(site, PROGRESS, episode=2)
    found = []
    while not found or found[-1] != live:
        found.append(again.next().data["entry"])
    # Of the last millisecond it may hear again.
    assert [entry for entry in found if entry not in heard] == sorted([*missed, app], key=number)


def number(entry):
    return tuple(map(int, entry.split("-")))


def test_a_page_hears_what_was_announced_since_it_was_made(site, listen):
    since = "-".join(map(str, (site.redis.client.time()[0] * 1000, 0)))
    announced = announce(site, PROGRESS, episode=1)
    listener = listen(f"?policy=rl_v3&after={since}")
    while listener.next().id != announced:
        pass


def test_one_that_comes_back_after_long_has_its_page_fetched_again(site, listen):
    announce(site, PROGRESS, episode=1)
    listener = listen("?after=0-0")
    heard = [listener.block(), listener.block()]
    assert [event.kind for event in heard if event.kind] == ["changed"]


def test_a_heartbeat_holds_the_id_to_go_on_from(site, listen):
    listener = listen().ready()
    seconds = int(listener.last_id.split("-")[0]) / 1000
    assert abs(seconds - time.time()) < 10


def test_a_stream_that_ends_does_not_lead_past_what_it_has_sent(streams):
    """What the hub reads in the moment in which it ends comes again, after the last id that was sent."""

    async def until_the_end():
        hub, follower, sent, at_work = Hub(None), Follower(None), [], asyncio.Event()
        hub.ready.set()
        hub.followers.add(follower)

        async def send(message):
            sent.append(message.get("body", b""))
            if sent[-1] == app.heartbeat((0, 0)):
                at_work.set()

        task = asyncio.create_task(app.follow(hub, follower, None, send))
        await at_work.wait()
        hub.close()
        hub._deliver([Entry((1, 0), PROGRESS, {})])
        await task
        return b"".join(sent)

    assert re.findall(rb"id: (.*)", asyncio.run(until_the_end())) == [b"0-0"]


def test_a_reader_whose_cancellation_was_forgotten_touches_nothing(streams):
    """It would make the next one read on from where it was itself: entries would come twice."""

    class Forgetful:
        async def time(self):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return 1, 0

    async def in_thread(ask):
        return {}

    async def join_and_leave():
        hub, follower = Hub(in_thread), Follower(None)
        hub.client = Forgetful()
        hub.join(follower)
        tasks = hub._tasks
        await asyncio.sleep(0)
        hub.leave(follower)
        await asyncio.wait(tasks, timeout=5)
        return hub.ready.is_set()

    assert not asyncio.run(join_and_leave())


@pytest.mark.parametrize("payload", ["no JSON", "[" * 5000, '{"reward": NaN}', "</script><img src=x onerror=alert(1)>"])
def test_an_entry_that_says_nothing_disturbs_nobody(site, listen, payload):
    listener = listen().ready()
    site.redis.client.xadd(PROGRESS, {"payload": payload})
    site.redis.client.xadd(PROGRESS, {"other": "fields"})
    assert [listener.next().data["payload"] for _ in range(2)] in ([None, None], [{"reward": None}, None])


def test_a_key_that_is_no_stream_holds_back_no_other(site, listen):
    listener = listen().ready()
    site.redis.client.delete("trend_daily.training.progress")
    site.redis.client.set("trend_daily.training.progress", "text")
    announced = announce(site, PROGRESS, episode=1)
    assert listener.next().id == announced
    site.redis.client.delete("trend_daily.training.progress")


def test_a_policy_that_is_new_is_heard_of(site, listen):
    listener = listen().ready()
    site.query("UPDATE rl_training_policystore SET name = 'renamed' WHERE name = 'trend_daily'")
    announced = announce(site, "renamed.training.started", episodes=1)
    assert listener.next().data["entry"] == announced
    # Before that, others' entries were given with later ids.
    again = listen(last_id=f"{number(announced)[0] + 1}-0")
    assert again.next("started").data["entry"] == announced
    site.query("UPDATE rl_training_policystore SET name = 'trend_daily' WHERE name = 'renamed'")


def test_a_redis_that_was_away_is_read_on_from_where_it_was(site, listen):
    listener = listen().ready()
    before = announce(site, PROGRESS, episode=1)
    assert listener.next("progress").id == before
    site.redis.restart()
    after = announce(site, PROGRESS, episode=2)
    assert listener.next("progress").id == after


def test_all_hear_when_a_part_of_the_system_is_lost_or_found(site, listen):
    listener = listen().ready()
    wait_for(lambda: beat(site) and listener_heard_beat(listener), "beat to be heard of", 30)


def beat(site):
    now = site.redis.client.time()[0]
    return site.redis.client.zadd("quantum_trader:alive:beat", {"test:1": now}) is not None


def listener_heard_beat(listener):
    return listener.next("health").data["beat"] == "ok"


def test_one_that_does_not_read_is_hung_up_on(site, session):
    client = deaf(site.port, session)
    client.settimeout(20)
    listener = Listener(site.port, session).ready()
    sent = 0
    for _ in range(8):
        last = announce_many(site, 500, padding="x" * 4000)[-1]
        sent += 500
        while listener.next().id != last:
            pass
    received = read_to_the_end(client)
    # What the kernel holds of it is some megabytes.
    assert 0 < received < 4000 * sent / 2
    listener.close()


def read_to_the_end(client):
    total = 0
    try:
        while part := client.recv(65536):
            total += len(part)
    except ConnectionResetError:
        pass
    return total


def test_an_edit_and_a_queued_run_are_told_of(site, listen):
    listener = listen("?policy=momentum").ready()
    site.query("UPDATE rl_training_policystore SET updated_at = '2030-01-01' WHERE name = 'momentum'")
    assert listener.next("changed").data == {"policy": "momentum"}


@pytest.mark.django_db(transaction=True)
def test_who_signs_out_hears_nothing_any_more(client, admin_user, streams, monkeypatch):
    monkeypatch.setattr(app, "LOOK_AGAIN_SECONDS", 0.1)
    client.force_login(admin_user)
    application = app.LiveEvents(None, threads=1)

    async def until_the_end():
        asked = ApplicationCommunicator(application, scope(client.cookies["sessionid"].value))
        await asked.send_input({"type": "http.request"})
        parts = [await asked.receive_output(5), await asked.receive_output(5)]
        await asyncio.to_thread(sign_out, client)
        while parts[-1].get("more_body"):
            parts.append(await asked.receive_output(10))
        await asked.wait(5)
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


def test_streams_do_not_hold_up_the_end_of_the_server(site, listen):
    """The last test of the file: the server ends."""
    listener = listen().ready()
    began = time.monotonic()
    site.stop("web")
    with pytest.raises(EOFError):
        listener.next("none")
    assert time.monotonic() - began < 4
