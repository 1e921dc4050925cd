import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from celery_app import app
from rl_training.models import PolicyStore, SlotRange, TrainingRun
from rl_training.policy_edits import set_enabled
from rl_training.runs import lifecycle
from rl_training.schedule import slots
from rl_training.schedule.scheduler import PolicyStoreScheduler
from tests.active_runs import queued_run
from tests.slot_ledger import unaccounted_in_test

pytestmark = pytest.mark.django_db

NOON = datetime(2025, 1, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def hourly(policy) -> PolicyStore:
    """Return a policy whose next slot is noon."""
    PolicyStore.objects.update(next_run_at=NOON)
    return PolicyStore.objects.get()


@pytest.fixture
def clock(monkeypatch):
    """Return a function that sets the time that the project reads."""
    return lambda now: monkeypatch.setattr("django.utils.timezone.now", lambda: now)


def end_run(now: datetime, since: datetime | None = None) -> None:
    """End the active run, which was queued at `since`, as cancelled."""
    TrainingRun.objects.active().update(status="cancelled", queued_at=since or now, finished_at=now)


def store_gamma(gamma: float) -> None:
    """Write a setting without the forms' checks, even an invalid value."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rl_training_policystore SET ppo = %s", [json.dumps({"gamma": gamma})])


def ledger() -> list[tuple[object, ...]]:
    columns = ("first_slot", "slots", "outcome", "reason")
    return list(SlotRange.objects.order_by("pk").values_list(*columns))


def test_slot_that_made_a_run_has_the_run_and_its_lateness(hourly):
    [run] = slots.enqueue_due([hourly], NOON + timedelta(seconds=1.5))
    row = SlotRange.objects.get()
    assert (row.first_slot, row.last_slot, row.next_slot) == (NOON, NOON, NOON + HOUR)
    assert (row.outcome, row.run, row.lateness_seconds, row.interval_minutes) == ("ran", run, 1.5, 60)
    assert unaccounted_in_test() == []


def test_missed_slots_are_coalesced_into_the_run_of_the_first(hourly):
    [run] = slots.enqueue_due([hourly], NOON + 5 * HOUR + MINUTE)
    assert ledger() == [(NOON, 1, "ran", ""), (NOON + HOUR, 5, "coalesced", "missed")]
    assert SlotRange.objects.get(outcome="coalesced").run == run
    assert unaccounted_in_test() == []


def test_slots_during_an_active_run_are_coalesced_for_that_reason(hourly):
    queued_run(hourly)
    end_run(NOON + 2 * HOUR, since=NOON + MINUTE)
    slots.enqueue_due([hourly], NOON + 4 * HOUR)
    assert ledger() == [
        (NOON, 1, "ran", ""),
        (NOON + HOUR, 2, "coalesced", "active_run"),
        (NOON + 3 * HOUR, 2, "coalesced", "missed"),
    ]
    assert unaccounted_in_test() == []


def test_slots_before_the_active_run_are_missed(hourly):
    queued_run(hourly)
    end_run(NOON + 3 * HOUR, since=NOON + 3 * HOUR - MINUTE)
    slots.enqueue_due([hourly], NOON + 3 * HOUR)
    assert ledger()[1:] == [(NOON + HOUR, 2, "coalesced", "missed"), (NOON + 3 * HOUR, 1, "coalesced", "active_run")]


def test_disabled_year_is_one_range(hourly, clock):
    slots.enqueue_due([hourly], NOON)
    end_run(NOON)
    set_enabled(hourly, False)
    clock(NOON + 365 * DAY + MINUTE)
    set_enabled(PolicyStore.objects.get(), True)
    assert ledger() == [(NOON, 1, "ran", ""), (NOON + HOUR, 365 * 24, "skipped", "disabled")]
    assert PolicyStore.objects.get().next_run_at == NOON + 365 * DAY + MINUTE
    assert unaccounted_in_test() == []


def test_interval_changed_while_disabled_ends_a_range(hourly, clock):
    set_enabled(hourly, False)
    clock(NOON + DAY - MINUTE)
    hourly.interval_minutes = 30
    hourly.save_settings("interval_minutes")
    clock(NOON + 2 * DAY - MINUTE)
    set_enabled(PolicyStore.objects.get(), True)
    assert ledger() == [(NOON, 24, "skipped", "disabled"), (NOON + DAY, 48, "skipped", "disabled")]
    assert list(SlotRange.objects.order_by("pk").values_list("interval_minutes", flat=True)) == [60, 30]
    assert unaccounted_in_test() == []


def test_other_edit_of_a_disabled_policy_leaves_its_next_slot(hourly, clock):
    set_enabled(hourly, False)
    clock(NOON + DAY)
    hourly.episodes_per_run = 3
    hourly.save_settings()
    assert PolicyStore.objects.get().next_run_at == NOON
    assert ledger() == []


def test_invalid_settings_of_a_month_are_one_range_with_the_last_detail(hourly):
    PolicyStore.objects.update(interval_minutes=60 * 24)
    scheduler = PolicyStoreScheduler(app)
    for day in range(30):
        store_gamma(7 + day)
        assert scheduler.run_due(NOON + day * DAY) == 0
    assert ledger() == [(NOON, 30, "skipped", "invalid_settings")]
    assert "36" in SlotRange.objects.get().detail
    assert unaccounted_in_test() == []


def test_slot_that_has_a_run_already_is_skipped_with_that_reason(hourly):
    columns = {"policy": hourly, "trigger": "schedule", "episodes": 1, "config": {}, "scheduled_for": NOON}
    TrainingRun.objects.create(status="failed", **columns)
    assert PolicyStoreScheduler(app).run_due(NOON) == 0
    assert ledger() == [(NOON, 1, "skipped", "already_ran")]


def test_slot_that_the_ledger_has_is_not_accounted_for_again(hourly):
    scheduler = PolicyStoreScheduler(app)
    assert scheduler.run_due(NOON) == 1
    end_run(NOON)
    SlotRange.objects.update(next_slot=NOON)
    PolicyStore.objects.update(next_run_at=NOON)
    assert scheduler.run_due(NOON + HOUR) == 0
    assert ledger() == [(NOON, 1, "ran", ""), (NOON + HOUR, 1, "skipped", "already_ran")]
    assert unaccounted_in_test() == []


def test_clock_set_back_leaves_no_gap(hourly):
    scheduler = PolicyStoreScheduler(app)
    assert scheduler.run_due(NOON + DAY + MINUTE) == 1
    end_run(NOON)
    assert scheduler.run_due(NOON + timedelta(minutes=17)) == 1
    end_run(NOON)
    assert scheduler.run_due(NOON + 2 * HOUR + timedelta(minutes=17)) == 1
    assert [row[0] for row in ledger()][-2:] == [
        NOON + HOUR + timedelta(minutes=17),
        NOON + timedelta(hours=2, minutes=17),
    ]
    assert unaccounted_in_test() == []


def test_shortened_interval_counts_from_a_last_slot_without_a_run(hourly, clock):
    scheduler = PolicyStoreScheduler(app)
    store_gamma(7)
    scheduler.run_due(NOON)
    PolicyStore.objects.update(interval_minutes=10, updated_at=NOON + MINUTE)
    scheduler.run_due(NOON + MINUTE)
    assert PolicyStore.objects.get().next_run_at == NOON + 10 * MINUTE
    assert unaccounted_in_test() == []


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ({"next_slot": NOON + 2 * HOUR}, "does not begin at"),
        ({"interval_minutes": 30}, "slots are missing between"),
        ({"first_slot": NOON + 2 * HOUR, "last_slot": NOON + 2 * HOUR}, "is 2 times in the ledger"),
        ({"outcome": "skipped", "reason": "disabled", "run": None, "lateness_seconds": None}, "is not in the ledger"),
    ],
)
def test_broken_ledger_is_noticed_by_the_check_of_these_tests(hourly, broken, error):
    slots.enqueue_due([hourly], NOON + 2 * HOUR)
    SlotRange.objects.filter(outcome="ran").update(**broken)
    assert error in " ".join(unaccounted_in_test())


def test_next_slot_moved_past_the_ledger_is_noticed_by_the_check(hourly):
    slots.enqueue_due([hourly], NOON)
    PolicyStore.objects.update(next_run_at=NOON + 2 * HOUR)
    assert "ends at" in " ".join(unaccounted_in_test())


def test_slots_of_a_failed_insertion_are_not_accounted_for(hourly):
    queued_run(hourly)
    with pytest.raises(lifecycle.AlreadyActiveError):
        slots.enqueue_due([hourly], NOON + HOUR)
    assert ledger() == []


def test_ranges_of_hundred_policies_cost_at_most_two_statements(hourly):
    PolicyStore.objects.bulk_create([PolicyStore(name=f"policy_{n}", next_run_at=NOON) for n in range(99)])
    policies = list(PolicyStore.objects.all())
    with CaptureQueriesContext(connection) as queries:
        slots.enqueue_due(policies, NOON)
    statements = [query["sql"] for query in queries if "slotrange" in query["sql"]]
    # SQLite takes at most a thousand values in a statement.
    assert len(statements) == (2 if connection.vendor == "sqlite" else 1)
    assert all(statement.startswith("INSERT") for statement in statements)


def test_range_without_what_its_outcome_needs_is_refused(hourly):
    columns = {"policy": hourly, "last_slot": NOON, "next_slot": NOON + HOUR, "slots": 1, "interval_minutes": 60}
    for wrong in ({"outcome": "ran"}, {"outcome": "coalesced", "reason": "missed"}, {"outcome": "skipped"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            SlotRange.objects.create(first_slot=NOON, **columns, **wrong)


@pytest.mark.parametrize("seed", range(4))
def test_random_events_leave_each_slot_accounted_for_once(hourly, clock, seed):
    chance = random.Random(seed)
    scheduler = PolicyStoreScheduler(app)
    now = NOON

    def edit(**columns: object) -> None:
        policy = PolicyStore.objects.get()
        for name, value in columns.items():
            setattr(policy, name, value)
        policy.save_settings(*columns)
        PolicyStore.objects.update(updated_at=now)

    events = {
        "tick": lambda: scheduler.run_due(now),
        "run ends": lambda: end_run(now, since=now - chance.random() * 3 * HOUR),
        "switch": lambda: edit(enabled=chance.random() < 0.6),
        "interval": lambda: edit(interval_minutes=chance.choice([1, 7, 60, 300])),
        "config": lambda: store_gamma(chance.choice([0.9, 7])),
        "clock back": lambda: None,
    }
    happened = []
    for _ in range(120):
        event = chance.choices(list(events), weights=[10, 6, 2, 2, 2, 1])[0]
        step = chance.choice([timedelta(seconds=1), 5 * MINUTE, HOUR, DAY]) * chance.random()
        now += -step if event == "clock back" else step
        clock(now)
        events[event]()
        happened.append((event, now))
        assert unaccounted_in_test() == [], happened
    assert {"ran", "coalesced", "skipped"} <= set(SlotRange.objects.values_list("outcome", flat=True))
