import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from rl_training.models import PolicyStore, PolicyVersion, SlotRange, TrainingEvent, TrainingRun
from rl_training.policy_edits import set_enabled
from rl_training.schedule import slots
from tests.active_runs import queued_run
from tests.api_clients import RUNS, problem
from tests.query_plans import steps_of_plan
from tests.stored import finished_run, skip_slots

pytestmark = pytest.mark.django_db
EVENTS = "/api/v1/events/"
SLOTS = "/api/v1/policies/rl_v3/slots/"
HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def store(policy, number, **columns):
    """Store `number` finished runs, three with the same time each; their errors are the numbers from 0."""
    runs = []
    for index in range(number):
        timestamp = START + timedelta(minutes=index // 3)
        defaults = {"status": "succeeded", "trigger": "schedule", "episodes": 2, "config": {}, "error": str(index)}
        runs.append(TrainingRun(policy=policy, queued_at=timestamp, finished_at=timestamp, **(defaults | columns)))
    return TrainingRun.objects.bulk_create(runs)


def numbers(page):
    """Return the numbers of the runs of a page."""
    return [int(run["error"]) for run in page["results"]]


def walk(client, page, link):
    """Follow the links called `link`; return the last page and the numbers of each page."""
    found = []
    while page[link]:
        page = client.get(page[link]).json()
        found.append(numbers(page))
    return page, found


@pytest.mark.parametrize("ordering", ["queued_at", "finished_at"])
def test_pages_show_each_row_once_in_both_directions(policy, viewer, ordering):
    store(policy, 10)
    first = viewer.get(RUNS, {"limit": 4, "ordering": ordering}).json()
    assert (numbers(first), first["previous"]) == ([0, 1, 2, 3], None)
    last, found = walk(viewer, first, "next")
    assert found == [[4, 5, 6, 7], [8, 9]]
    again, found = walk(viewer, last, "previous")
    assert found == [[4, 5, 6, 7], [0, 1, 2, 3]]
    assert again["next"] == first["next"]


def test_new_row_at_the_top_shifts_no_page(policy, viewer):
    store(policy, 6)
    first = viewer.get(RUNS, {"limit": 3}).json()
    assert numbers(first) == [5, 4, 3]
    finished_run(policy, error="6")
    second = viewer.get(first["next"]).json()
    assert numbers(second) == [2, 1, 0]
    assert numbers(viewer.get(second["previous"]).json()) == [5, 4, 3]


def test_runs_are_filtered(policy, viewer):
    other = PolicyStore.objects.create(name="other")
    store(policy, 3)
    store(other, 2, status="failed", trigger="api")
    TrainingRun.objects.create(policy=policy, trigger="api", episodes=1, config={}, error="7")

    def found(**query):
        return sorted(numbers(viewer.get(RUNS, query).json()))

    assert found(policy="other") == [0, 1]
    assert found(status="succeeded") == [0, 1, 2]
    assert found(trigger="api") == [0, 1, 7]
    assert found(trigger="api", policy="rl_v3", status="queued") == [7]
    assert found(ordering="-finished_at", trigger="api") == [0, 1]
    assert found(queued_after="2026-01-01T00:00:00Z", queued_before="2026-01-01T00:00:01Z", policy="rl_v3") == [0, 1, 2]
    assert found(queued_after="2026-01-01T00:00:01+00:00") == [7]
    assert found(finished_after="2026-01-01T01:00:00+01:00") == [0, 0, 1, 1, 2]
    assert found(finished_after="2026-01-01T00:00:01Z") == []


def test_list_of_runs_reads_no_large_columns(policy, viewer):
    finished_run(policy)
    with CaptureQueriesContext(connection) as queries:
        [run] = viewer.get(RUNS).json()["results"]
    assert not run.keys() & {"config", "traceback", "episode_rewards", "market_summary"}
    [listing] = [query["sql"] for query in queries if 'FROM "rl_training_trainingrun"' in query["sql"]]
    assert not any(column in listing for column in ('"config"', '"traceback"', '"episode_rewards"', '"market_summary"'))


def test_versions_of_a_policy_are_listed_and_read(policy, viewer):
    other = PolicyStore.objects.create(name="other")
    runs = [finished_run(policy), finished_run(policy), finished_run(other)]
    first = PolicyVersion.objects.create(policy=policy, number=1, run=runs[0], evaluation={"sharpe": 0.5})
    PolicyVersion.objects.create(policy=policy, number=2, run=runs[1], parent=first, evaluation={"sharpe": 0.6})
    PolicyVersion.objects.create(policy=other, number=1, run=runs[2], evaluation={})
    path = "/api/v1/policies/rl_v3/versions/"
    found = viewer.get(path).json()["results"]
    assert [(version["number"], version["parent"], version["run_id"]) for version in found] == [
        (2, 1, runs[1].run_id),
        (1, None, runs[0].run_id),
    ]
    assert viewer.get(f"{path}2/").json()["evaluation"] == {"sharpe": 0.6}
    for number in (3, 2**63, 9**99):
        problem(viewer.get(f"{path}{number}/"), 404)
    assert [version["number"] for version in viewer.get(path, {"ordering": "number"}).json()["results"]] == [1, 2]


def test_events_are_listed_filtered_and_read(policy, viewer):
    run = finished_run(policy)
    events = [
        TrainingEvent.objects.create(
            event_type=f"rl_v3.training.{what}", run=run, timestamp=START + timedelta(hours=hour), payload={"a": 1}
        )
        for hour, what in enumerate(["started", "completed"])
    ]

    def found(**query):
        return [event["event_id"] for event in viewer.get(EVENTS, query).json()["results"]]

    ids = [str(event.event_id) for event in events]
    assert found() == ids[::-1]
    assert found(ordering="timestamp", run=run.run_id) == ids
    assert found(event_type="rl_v3.training.started") == ids[:1]
    assert found(after="2026-01-01T01:00:00Z") == ids[1:]
    assert found(run="000000000000") == []
    assert viewer.get(f"{EVENTS}{ids[0]}/").json()["payload"] == {"a": 1}
    problem(viewer.get(f"{EVENTS}00000000-0000-0000-0000-000000000000/"), 404)


@pytest.mark.parametrize(
    "content",
    [
        ["-finished_at", False, "2026-01-01T00:00:00Z", 1],
        ["-queued_at", 0, "2026-01-01T00:00:00Z", 1],
        ["-queued_at", False, "2026-01-01", 1],
        ["-queued_at", False, "9999-12-31T23:59:59-14:00", 1],
        ["-queued_at", False, 5, 1],
        ["-queued_at", False, "2026-01-01T00:00:00Z", 2**63],
        ["-queued_at", False, "2026-01-01T00:00:00Z", -1],
        ["-queued_at", False, "2026-01-01T00:00:00Z", True],
        ["-queued_at", False, {}, 1],
        ["-queued_at"],
        {},
        None,
    ],
)
def test_forged_cursor_is_refused(viewer, content):
    cursor = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    assert problem(viewer.get(RUNS, {"cursor": cursor}), 400)["errors"][0]["field"] == "cursor"


def test_run_and_the_slots_coalesced_into_it_are_listed(policy, viewer):
    PolicyStore.objects.update(next_run_at=START)
    [run] = slots.enqueue_due([PolicyStore.objects.get()], START + 2 * HOUR + timedelta(seconds=3))
    coalesced, ran = viewer.get(SLOTS).json()["results"]
    assert ran == {
        "first_slot": "2026-01-01T00:00:00Z",
        "last_slot": "2026-01-01T00:00:00Z",
        "slots": 1,
        "interval_minutes": 60,
        "outcome": "ran",
        "reason": "",
        "detail": "",
        "run_id": run.run_id,
        "run_status": "queued",
        "lateness_seconds": 7203.0,
    }
    assert (coalesced["first_slot"], coalesced["slots"]) == ("2026-01-01T01:00:00Z", 2)
    assert (coalesced["outcome"], coalesced["reason"], coalesced["run_id"]) == ("coalesced", "missed", run.run_id)


def test_slots_are_filtered_and_paged(policy, viewer):
    skip_slots(PolicyStore.objects.create(name="other"))
    skip_slots(policy, START, slots=10)
    ran = {"outcome": "ran", "reason": "", "run": finished_run(policy), "lateness_seconds": 0.5}
    skip_slots(policy, START + 10 * HOUR, **ran)
    skip_slots(policy, START + 11 * HOUR, reason="too_few_new_bars")

    def found(**query):
        return [row["first_slot"][11:13] for row in viewer.get(SLOTS, query).json()["results"]]

    assert found() == ["11", "10", "00"]
    assert found(ordering="first_slot") == ["00", "10", "11"]
    assert found(outcome="skipped") == ["11", "00"]
    assert found(reason="disabled") == ["00"]
    assert found(after="2026-01-01T09:00:00Z", before="2026-01-01T11:00:00Z") == ["10", "00"]
    first = viewer.get(SLOTS, {"limit": 2}).json()
    assert [row["first_slot"][11:13] for row in viewer.get(first["next"]).json()["results"]] == ["00"]


def test_slots_that_pass_while_disabled_are_computed(policy, viewer):
    set_enabled(policy, False)
    PolicyStore.objects.update(next_run_at=timezone.now() - 24.5 * HOUR)
    passing = viewer.get(SLOTS).json()["passing"]
    assert (passing["slots"], passing["because"]) == (25, "disabled")
    since = PolicyStore.history.first().history_date
    assert datetime.fromisoformat(passing["since"]) == since
    assert not SlotRange.objects.exists()


def test_slot_that_waits_for_an_active_run_names_its_reason(policy, viewer):
    PolicyStore.objects.update(next_run_at=timezone.now() - HOUR / 2)
    assert viewer.get(SLOTS).json()["passing"]["because"] == "due"
    queued_run(policy)
    assert viewer.get(SLOTS).json()["passing"]["because"] == "active_run"
    PolicyStore.objects.update(next_run_at=timezone.now() + HOUR)
    assert viewer.get(SLOTS).json()["passing"] is None


def test_slots_of_unknown_policy_are_not_found(viewer):
    problem(viewer.get("/api/v1/policies/other/slots/"), 404)


def test_page_of_a_large_ledger_is_read_from_an_index(policy, viewer):
    columns = {"policy": policy, "slots": 1, "interval_minutes": 60, "outcome": "skipped", "reason": "disabled"}
    times = [START + number * HOUR for number in range(3000)]
    SlotRange.objects.bulk_create(
        [SlotRange(first_slot=time, last_slot=time, next_slot=time + HOUR, **columns) for time in times]
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE rl_training_slotrange")
    following = viewer.get(SLOTS).json()["next"]
    with CaptureQueriesContext(connection) as queries:
        viewer.get(following)
    [page] = [query["sql"] for query in queries if 'FROM "rl_training_slotrange"' in query["sql"]]
    [step] = [step for step in steps_of_plan(page) if "slotrange" in step]
    # SQLite names the columns of the index, PostgreSQL the constraint.
    assert "first_slot" in step or "slots_once" in step


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("runs/?status=done", "status: One of queued, running, succeeded, failed, cancelled."),
        ("runs/?trigger=cron", "trigger: One of schedule, command, api, admin."),
        ("alerts/?state=closed", "state: One of open, acknowledged, resolved."),
        ("policies/?enabled=1", "enabled: One of true, false."),
    ],
)
def test_filter_with_an_unknown_value_names_the_values(viewer, query, wanted):
    answer = viewer.get(f"/api/v1/{query}")
    assert (answer.status_code, answer.json()["detail"]) == (400, wanted)


def test_several_problems_are_one_sentence(viewer):
    answer = viewer.get("/api/v1/runs/?status=x&trigger=y")
    first, second = answer.json()["detail"].split("; ")
    assert first.startswith("status: One of ")
    assert not first.endswith(".")
    assert second.startswith("trigger: One of ")
    assert second.endswith(".")
