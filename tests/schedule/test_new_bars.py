from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from celery_app import app
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore, SlotRange, TrainingRun
from rl_training.schedule.scheduler import PolicyStoreScheduler
from tests.slot_ledger import unaccounted_in_test

pytestmark = pytest.mark.django_db

NOON = datetime(2025, 1, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
EXCHANGE = MarketConfig(source="exchange", exchange="kraken", symbol="BTC/USD", timeframe="1h")


@pytest.fixture
def scheduler() -> PolicyStoreScheduler:
    return PolicyStoreScheduler(app)


def demand(policy: PolicyStore, bars: int, market: MarketConfig | None = None) -> None:
    """Let the policy, due at noon, skip slots with fewer new bars."""
    policy.market = market or policy.market
    policy.min_new_bars = bars
    policy.save_settings()
    PolicyStore.objects.update(next_run_at=NOON)


def store_success(policy: PolicyStore, last: datetime = NOON, **columns: object) -> TrainingRun:
    """Store a successful run of the policy whose last bar opened at `last`."""
    columns = {
        "market_summary": {"last": last.isoformat()},
        "finished_at": NOON - HOUR,
        "status": "succeeded",
    } | columns
    config = policy.training_config().model_dump(mode="json")
    return TrainingRun.objects.create(policy=policy, trigger="api", episodes=1, config=config, **columns)


def test_slot_on_the_same_bars_as_the_last_success_is_skipped(policy, scheduler):
    demand(policy, 1)
    store_success(policy)
    PolicyStore.objects.update(schedule_error="ppo.gamma")
    assert scheduler.run_due(NOON + HOUR) == 0
    row = SlotRange.objects.get()
    assert (row.outcome, row.reason, row.slots) == ("skipped", "too_few_new_bars", 2)
    assert row.detail == "0 new bars, 1 needed"
    policy.refresh_from_db()
    assert (policy.next_run_at, policy.schedule_error) == (NOON + 2 * HOUR, "")
    assert unaccounted_in_test() == []


def test_slot_runs_once_enough_bars_of_an_exchange_have_closed(policy, scheduler):
    demand(policy, 3, EXCHANGE)
    store_success(policy)
    due = [NOON + hours * HOUR + timedelta(minutes=2) for hours in range(5)]
    assert [scheduler.run_due(now) for now in due] == [0, 0, 0, 0, 1]
    skipped, ran = SlotRange.objects.order_by("pk")
    assert (skipped.slots, skipped.detail, ran.outcome) == (4, "2 new bars, 3 needed", "ran")
    assert unaccounted_in_test() == []


def test_rows_added_to_a_file_are_new_bars(policy, scheduler, settings, tmp_path):
    settings.MARKET_DATA_ROOT = tmp_path
    rows = [f"{NOON + hours * HOUR:%Y-%m-%d %H:%M},10,12,9,11,5\n" for hours in range(3)]
    (tmp_path / "m.csv").write_text("timestamp,open,high,low,close,volume\n" + "".join(rows[:2]))
    demand(policy, 2, MarketConfig(source="file", path="m.csv"))
    store_success(policy)
    assert scheduler.run_due(NOON) == 0
    assert SlotRange.objects.get().detail == "1 new bar, 2 needed"
    with (tmp_path / "m.csv").open("a") as file:
        file.write(rows[2])
    assert scheduler.run_due(NOON + HOUR) == 1


def test_slot_runs_if_the_file_cannot_be_read(policy, scheduler, settings, tmp_path, caplog):
    settings.MARKET_DATA_ROOT = tmp_path
    (tmp_path / "m.csv").touch()
    demand(policy, 2, MarketConfig(source="file", path="m.csv"))
    store_success(policy)
    (tmp_path / "m.csv").unlink()
    assert scheduler.run_due(NOON) == 1
    assert "New bars cannot be counted" in caplog.text


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "failed"},
        {"market_summary": None},
        {"market_summary": {"last": "soon"}},
    ],
)
def test_slot_runs_if_no_success_says_which_bars_it_had(policy, scheduler, columns):
    demand(policy, 1)
    store_success(policy, **columns)
    assert scheduler.run_due(NOON) == 1


def test_slot_runs_on_another_market_than_the_last_success_had(policy, scheduler):
    demand(policy, 1)
    store_success(policy)
    demand(policy, 1, MarketConfig(source="nasdaq"))
    assert scheduler.run_due(NOON) == 1


def test_changed_train_fraction_makes_no_bar_new(policy, scheduler):
    demand(policy, 1)
    store_success(policy)
    demand(policy, 1, policy.market.model_copy(update={"train_fraction": 0.7}))
    assert scheduler.run_due(NOON) == 0


def test_last_success_counts_not_the_last_run(policy, scheduler):
    demand(policy, 3, EXCHANGE)
    store_success(policy, NOON - 9 * HOUR, finished_at=NOON - 2 * HOUR)
    store_success(policy, NOON, status="failed")
    assert scheduler.run_due(NOON) == 1


def test_invalid_config_is_reported_rather_than_the_missing_bars(policy, scheduler):
    demand(policy, 1)
    store_success(policy)
    with connection.cursor() as cursor:
        cursor.execute('UPDATE rl_training_policystore SET market = \'{"source": "moon"}\'')
    assert scheduler.run_due(NOON) == 0
    assert SlotRange.objects.get().reason == "invalid_settings"


def test_skipping_many_slots_costs_few_queries(policy, scheduler):
    PolicyStore.objects.bulk_create([PolicyStore(name=f"policy_{n}") for n in range(100)])
    PolicyStore.objects.update(min_new_bars=1, next_run_at=NOON)
    for each in PolicyStore.objects.all():
        store_success(each)
    with CaptureQueriesContext(connection) as queries:
        assert scheduler.run_due(NOON) == 0
    assert len(queries) < 20
    assert SlotRange.objects.count() == 101


def test_bars_are_not_counted_without_min_new_bars(policy, scheduler):
    PolicyStore.objects.update(next_run_at=NOON)
    with CaptureQueriesContext(connection) as queries:
        scheduler.run_due(NOON)
    assert not [query for query in queries if "market_summary" in query["sql"] and "SELECT" in query["sql"][:6]]
