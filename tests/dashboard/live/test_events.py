"""The events that clients of a real web process receive."""

import time
from datetime import datetime

import pytest

from quantum_trader.web.strict_headers import STRICT
from tests.access_rows import ANONYMOUS, METHODS, ROLES
from tests.access_table import LIVE
from tests.browser.names import PASSWORD
from tests.dashboard.live.publishing import COMPLETED, PROGRESS, RUN_ID, STARTED, number, publish, publish_many
from tests.sse import Listener, connect_without_reading, log_in
from tests.waiting import wait_for

pytestmark = pytest.mark.system

# An alert copies the policy of its rule, here that of any rule.
ALERT = """
    INSERT INTO alerts_alert (rule_id, policy_id, kind, message, opened_at)
    SELECT rule.id, (SELECT id FROM rl_training_policystore WHERE name = ?), rule.kind, 'no', '2026-01-01'
    FROM alerts_alertrule rule LIMIT 1
"""


def test_request_without_permission_is_refused(site, session):
    nobody = log_in(site.port, "nobody", PASSWORD)
    requests = (
        {"cookie": ""},
        {"cookie": "no such session"},
        {"cookie": nobody},
        {"cookie": session, "method": "POST"},
        {"cookie": session, "host": "elsewhere.example"},
    )
    assert [Listener(site.port, **options).status for options in requests] == [401, 401, 403, 405, 400]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_stream_and_refusal_have_strict_headers(site, session, method):
    listener = Listener(site.port, session, method=method)
    headers = {(name.lower(), value) for name, value in listener.answer.getheaders()}
    listener.close()
    assert {(name.decode(), value.decode()) for name, value in STRICT} <= headers


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_the_status_in_the_access_table(site, role):
    cookie = "" if role == ANONYMOUS else log_in(site.port, role, PASSWORD)

    def status(method):
        listener = Listener(site.port, cookie, method=method, path=LIVE.path)
        listener.close()
        return str(listener.status)

    assert {method: status(method) for method in METHODS} == {method: LIVE.expected(method, role) for method in METHODS}
    assert [status(method) for method in ("HEAD", "OPTIONS")] == ["405", "405"]


def test_entries_arrive_with_their_ids(site, listen):
    listener = listen().ready()
    ids = [publish(site, stream, success=True) for stream in (STARTED, PROGRESS, COMPLETED)]
    events = [listener.next() for _ in ids]
    assert [event.kind for event in events] == ["started", "progress", "completed"]
    assert [event.data["entry"] for event in events] == [event.id for event in events] == ids
    assert events[2].data["payload"] == {"success": True}
    assert {(event.data["policy"], event.data["run_id"]) for event in events} == {("rl_v3", RUN_ID)}


def test_clients_that_leave_at_once_leave_no_reader_behind(site, session, listen):
    for _ in range(10):
        Listener(site.port, session).close()
    listener = listen().ready()
    ids = [publish(site, PROGRESS, episode=episode) for episode in range(3)]
    assert [listener.next().data["entry"] for _ in ids] == ids


def test_follower_of_one_policy_receives_only_its_entries(site, listen):
    listener = listen("?policy=momentum").ready()
    publish(site, PROGRESS, episode=1)
    wanted = publish(site, "momentum.training.progress", episode=2)
    assert listener.next().id == wanted


@pytest.mark.parametrize("payload", ["no JSON", "[" * 5000, '{"reward": NaN}', "</script><img src=x onerror=alert(1)>"])
def test_entry_without_a_readable_payload_is_sent_as_null(site, listen, payload):
    listener = listen().ready()
    site.redis.client.xadd(PROGRESS, {"payload": payload})
    site.redis.client.xadd(PROGRESS, {"other": "fields"})
    assert [listener.next().data["payload"] for _ in range(2)] in ([None, None], [{"reward": None}, None])


def test_key_that_is_no_stream_delays_no_other_stream(site, listen):
    listener = listen().ready()
    site.redis.client.delete("trend_daily.training.progress")
    site.redis.client.set("trend_daily.training.progress", "text")
    published = publish(site, PROGRESS, episode=1)
    assert listener.next().id == published
    site.redis.client.delete("trend_daily.training.progress")


def test_changed_health_is_sent_to_all(site, listen):
    listener = listen().ready()

    def beat_is_ok():
        site.redis.client.zadd("quantum_trader:alive:beat", {"test:1": site.redis.client.time()[0]})
        return listener.next("health").data["beat"] == "ok"

    wait_for(beat_is_ok, "an event that beat is alive", 30)


def test_edit_of_a_policy_is_sent(site, listen):
    listener = listen("?policy=momentum").ready()
    site.query("UPDATE rl_training_policystore SET updated_at = '2030-01-01' WHERE name = 'momentum'")
    assert listener.next("changed").data == {"policy": "momentum"}


def test_opened_and_resolved_alert_is_sent(site, listen):
    everything, one = listen().ready(), listen("?policy=momentum").ready()
    site.query(ALERT, "momentum")
    assert everything.next("changed").data == one.next("changed").data == {"policy": "momentum"}
    site.query("UPDATE alerts_alert SET resolved_at = opened_at")
    assert one.next("changed").data == {"policy": "momentum"}
    site.query(ALERT, None)
    while everything.next("changed").data != {"policy": ""}:
        pass


def test_times_of_the_heartbeats_are_sent(site, listen):
    seconds, _ = site.redis.client.time()
    site.redis.client.zadd("quantum_trader:alive:alerts", {"test:1": seconds})
    listener = listen().ready()
    while "alerts" not in (found := listener.next("heartbeats").data):
        pass
    assert abs(datetime.fromisoformat(found["alerts"]).timestamp() - seconds) < 2


def test_client_that_does_not_read_is_disconnected(site, session):
    client = connect_without_reading(site.port, session)
    client.settimeout(20)
    listener = Listener(site.port, session).ready()
    sent = 0
    for _ in range(8):
        last = publish_many(site, 500, padding="x" * 4000)[-1]
        sent += 500
        while listener.next().id != last:
            pass
    received = read_to_the_end(client)
    # The kernel buffers some megabytes of the stream.
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


def test_reconnected_client_receives_missed_entries_in_order(site, listen):
    first = listen("?policy=rl_v3").ready()
    received = [publish(site, PROGRESS, episode=0)]
    assert first.next().id == received[0]
    first.close()
    # More entries than one read returns, in two streams.
    missed = publish_many(site, 700) + publish_many(site, 600, STARTED)
    again = listen("?policy=rl_v3", last_id=first.last_id)
    live = publish(site, PROGRESS, episode=2)
    found: list[str] = []
    while not found or found[-1] != live:
        found.append(again.next().data["entry"])
    # The client may receive the entries of the last millisecond twice.
    assert [entry for entry in found if entry not in received] == sorted([*missed, live], key=number)


def test_page_receives_entries_since_it_was_rendered(site, listen):
    since = "-".join(map(str, (site.redis.client.time()[0] * 1000, 0)))
    published = publish(site, PROGRESS, episode=1)
    listener = listen(f"?policy=rl_v3&after={since}")
    while listener.next().id != published:
        pass


def test_client_after_a_long_absence_fetches_its_page_again(site, listen):
    publish(site, PROGRESS, episode=1)
    listener = listen("?after=0-0")
    received = [listener.block(), listener.block()]
    assert [event.kind for event in received if event.kind] == ["changed"]


def test_heartbeat_contains_the_id_to_resume_from(site, listen):
    listener = listen().ready()
    seconds = int(listener.last_id.split("-")[0]) / 1000
    assert abs(seconds - time.time()) < 10


def test_entries_of_a_new_policy_are_received(site, listen):
    listener = listen().ready()
    site.query("UPDATE rl_training_policystore SET name = 'renamed' WHERE name = 'trend_daily'")
    published = publish(site, "renamed.training.started", episodes=1)
    assert listener.next().data["entry"] == published
    # A client that already received later ids of other policies receives the entry too.
    again = listen(last_id=f"{number(published)[0] + 1}-0")
    assert again.next("started").data["entry"] == published
    site.query("UPDATE rl_training_policystore SET name = 'trend_daily' WHERE name = 'renamed'")


def test_reading_resumes_after_a_restart_of_redis(site, listen):
    listener = listen().ready()
    before = publish(site, PROGRESS, episode=1)
    assert listener.next("progress").id == before
    site.redis.restart()
    after = publish(site, PROGRESS, episode=2)
    assert listener.next("progress").id == after


def test_open_streams_do_not_delay_the_end_of_the_server(site, listen):
    """The last test of this file, because the server ends."""
    listener = listen().ready()
    began = time.monotonic()
    site.stop("web")
    with pytest.raises(EOFError):
        listener.next("none")
    assert time.monotonic() - began < 4
