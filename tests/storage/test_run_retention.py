"""Runs that lose their details and their rows; nothing else changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from quantum_trader.redis_clients import redis_client
from rl_training.alerts.models import Alert
from rl_training.models import PolicyStore, PolicyVersion, RunTotal, SlotRange, TrainingEvent, TrainingRun, totals
from rl_training.storage import housekeeping, run_retention
from rl_training.streams import outbox, relay
from tests.alerts.rows import open_alerts
from tests.api_clients import client_of
from tests.stored import deploy, finished_run, skip_slots

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
EVALUATION = {
    "total_return": 0.5,
    "equity_curve": [1.0, 1.2, 1.5],
    "timestamps": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"],
}
DETAILS = {"curve": {"episodes": {}}, "episode_rewards": [0.5], "computing_environment": {"threads": 2}}


@pytest.fixture(autouse=True)
def storage(streams, settings):
    """Keep the rows of four runs of each policy, and the details of two of them."""
    settings.RUNS_KEPT, settings.RUN_DETAILS_KEPT = 4, 2


def run_of(policy: PolicyStore, number: int, *, with_weights: bool = False, **columns: object) -> TrainingRun:
    """Store a run that made the version of this number, one hour after the previous run."""
    at = NOW + timedelta(hours=number)
    run: TrainingRun = finished_run(policy, queued_at=at, avg_reward=0.5, duration_seconds=2.0, **DETAILS | columns)
    removed = {} if with_weights else {"weights_removed_at": timezone.now()}
    files = {"artifact": "rl_v3/a" if with_weights else "", "sha256": "0" * 64}
    PolicyVersion.objects.create(policy=policy, number=number, run=run, evaluation=EVALUATION, **files, **removed)
    return run


def stored(policy: PolicyStore) -> list[int]:
    return [*policy.versions.order_by("number").values_list("number", flat=True)]


def test_old_runs_lose_their_details_and_older_ones_their_rows(policy):
    runs = [run_of(policy, number) for number in range(1, 7)]
    assert run_retention.remove_old() == (2, 2)
    assert stored(policy) == [3, 4, 5, 6]
    older, newer = (TrainingRun.objects.get(pk=runs[index].pk) for index in (3, 4))
    assert (older.curve, older.episode_rewards, older.computing_environment) == (None, [], None)
    assert (older.avg_reward, older.version.held_out_return) == (0.5, 0.5)
    assert older.version.evaluation["equity_curve"] == [1.0, 1.5]
    assert (newer.curve, newer.version.evaluation) == (DETAILS["curve"], EVALUATION)
    assert run_retention.remove_old() == (0, 0)


def test_summary_and_totals_count_removed_runs(policy):
    for number in range(1, 7):
        run_of(policy, number)
    PolicyStore.objects.update(total_runs=8, succeeded_runs=6)
    totals.count_anew(RunTotal, TrainingRun)
    client, url = client_of("viewer"), "/api/v1/rl-v3/dashboard/training-summary"
    before = client.get(url).json()
    assert run_retention.remove_old()[0] == 2
    after = client.get(url).json()
    assert (after["total_runs"], after["success_rate"]) == (before["total_runs"], before["success_rate"]) == (8, 0.75)
    assert after["recent_runs"] == before["recent_runs"][:4]
    assert {*RunTotal.objects.values_list("measure", "runs", "total")} == {("duration", 6, 12.0), ("reward", 6, 3.0)}


def test_runs_of_versions_with_weights_or_deployments_stay_whole(policy):
    run_of(policy, 1, with_weights=True)
    deploy(run_of(policy, 2).version)
    for number in range(3, 9):
        run_of(policy, number)
    run_retention.remove_old()
    assert stored(policy) == [1, 2, 5, 6, 7, 8]
    assert [*TrainingRun.objects.filter(curve=None).values_list("version__number", flat=True).order_by("pk")] == [5, 6]


def test_run_with_an_unpublished_event_and_active_run_stay(policy):
    with_event, published = run_of(policy, 1), run_of(policy, 2)
    for run in (with_event, published):
        outbox.write(run, "completed", {})
    relay.add(TrainingEvent.objects.all())
    TrainingEvent.objects.filter(run=published).update(published_at=timezone.now())
    active = TrainingRun.objects.create(policy=policy, trigger="api", episodes=1, config={}, queued_at=NOW)
    for number in range(3, 9):
        run_of(policy, number)
    run_retention.remove_old()
    assert TrainingRun.objects.filter(pk__in=[with_event.pk, active.pk]).count() == 2
    assert stored(policy) == [1, 5, 6, 7, 8]
    assert [event.run for event in TrainingEvent.objects.all()] == [with_event]
    assert redis_client().xlen("rl_v3.training.completed") == 1


def test_version_continued_from_a_removed_one_notes_where_it_came_from(policy):
    first = run_of(policy, 1).version
    for number in range(2, 6):
        run_of(policy, number, start_note="", initial_version=first, started_from=first)
    never_started = TrainingRun.objects.filter(version__number=5)
    never_started.update(started_from=None, start_note=None)
    PolicyVersion.objects.filter(number__gt=1).update(parent=first)
    assert run_retention.remove_old()[0] == 1
    notes: Any = TrainingRun.objects.order_by("queued_at").values_list("start_note", "initial_version", "started_from")
    assert [*notes[:1], *notes[3:]] == [
        ("Started from version 1, whose row was removed since. ", None, None),
        ("Was to start from version 1, whose row was removed since.", None, None),
    ]
    assert not PolicyVersion.objects.exclude(parent=None).exists()


def test_slots_keys_and_alerts_of_removed_runs_are_put_in_order(policy):
    first = run_of(policy, 1)
    [alert] = open_alerts(policy)
    Alert.objects.update(run=first)
    columns = {"interval_minutes": 60, "next_slot": NOW, "outcome": "ran", "lateness_seconds": 0.0}
    SlotRange.objects.create(policy=policy, first_slot=NOW, last_slot=NOW, slots=1, run=first, **columns)
    skip_slots(policy, NOW - timedelta(days=9))
    kept = skip_slots(policy, NOW + timedelta(days=9))
    for number in range(2, 6):
        run_of(policy, number)
    run_retention.remove_old()
    assert [*SlotRange.objects.all()] == [kept]
    alert.refresh_from_db()
    assert (alert.run, alert.message) == (None, "It failed.")


def test_walk_continues_after_a_batch_of_kept_runs(policy, monkeypatch):
    monkeypatch.setattr(run_retention, "BATCH", 2)
    for number in range(1, 4):
        run_of(policy, number, with_weights=True)
    for number in range(4, 10):
        run_of(policy, number)
    assert sum(run_retention.remove_old()[0] for _ in range(4)) == 2
    assert stored(policy) == [1, 2, 3, 6, 7, 8, 9]


def test_one_of_several_beats_prunes_runs_once_a_minute(policy):
    for number in range(1, 7):
        run_of(policy, number)
    housekeeping.maintain(NOW)
    for number in range(7, 10):
        run_of(policy, number)
    housekeeping.maintain(NOW)
    assert stored(policy) == [3, 4, 5, 6, 7, 8, 9]
