import math
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from celery_app import app
from rl_training.models import PolicyStore, PolicyStoreQuerySet, TrainingRun
from rl_training.runs import lifecycle
from rl_training.schedule.scheduler import PolicyStoreScheduler
from tests.active_runs import claimed_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def scheduler() -> PolicyStoreScheduler:
    return PolicyStoreScheduler(app)


def test_due_policy_gets_one_run_for_its_slot(policy, scheduler):
    now = timezone.now()
    assert [scheduler.run_due(now), scheduler.run_due(now)] == [1, 0]
    run = TrainingRun.objects.get()
    assert (run.trigger, run.status, run.scheduled_for) == ("schedule", "queued", policy.next_run_at)


def test_two_beats_enqueue_one_run(policy, scheduler):
    now = timezone.now()
    assert scheduler.run_due(now) + PolicyStoreScheduler(app).run_due(now) == 1


def test_many_due_policies_cost_few_queries(scheduler):
    PolicyStore.objects.bulk_create([PolicyStore(name=f"policy_{number}") for number in range(150)])
    with CaptureQueriesContext(connection) as queries:
        assert scheduler.run_due(timezone.now()) == PolicyStore.objects.count()
    assert len(queries) < 30
    assert TrainingRun.objects.count() == PolicyStore.objects.count()


def test_runs_stored_before_a_database_error_are_sent_to_workers(policy, streams, scheduler, monkeypatch):
    PolicyStore.objects.create(name="second")

    def enqueue_due(policies, now):
        if TrainingRun.objects.exists():
            raise OperationalError("database is away")
        return [lifecycle.enqueue(policy, TrainingRun.Trigger.SCHEDULE, send_message=False) for policy in policies]

    monkeypatch.setattr("rl_training.schedule.scheduler.ENQUEUED_TOGETHER", 1)
    monkeypatch.setattr("rl_training.schedule.slots.enqueue_due", enqueue_due)
    with pytest.raises(OperationalError):
        scheduler.run_due(timezone.now())
    assert TrainingRun.objects.get().sent_at is not None


def test_policy_that_got_a_run_meanwhile_does_not_stop_the_others(policy, scheduler, monkeypatch):
    PolicyStore.objects.create(name="idle")
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    monkeypatch.setattr(PolicyStoreQuerySet, "due_or_changed", lambda *_: PolicyStore.objects.all())
    assert scheduler.run_due(timezone.now()) == 1
    assert TrainingRun.objects.get(policy=policy) == run
    assert PolicyStore.objects.get(pk=policy.pk).next_run_at == policy.next_run_at


def test_disabled_policy_is_not_due(policy, scheduler):
    PolicyStore.objects.update(enabled=False)
    assert scheduler.run_due(timezone.now()) == 0


def test_slot_of_a_policy_with_an_active_run_waits_for_its_end(policy, scheduler):
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    assert scheduler.run_due(timezone.now()) == 0
    lifecycle.cancel(run)
    assert scheduler.run_due(timezone.now()) == 1


def test_tick_makes_two_queries_when_nothing_is_due(policy, scheduler):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(minutes=5))
    scheduler.tick()
    with CaptureQueriesContext(connection) as queries:
        delay = scheduler.tick()
    assert len(queries) == 2
    assert 0 < delay <= 1


def test_edit_is_logged_once(policy, scheduler, caplog):
    scheduler.run_due(timezone.now())
    policy.interval_minutes = 1
    policy.save_settings()
    caplog.clear()
    scheduler.run_due(timezone.now())
    scheduler.run_due(timezone.now())
    messages = [record.msg["event"] for record in caplog.records if "Config" in record.msg["event"]]
    assert messages == ["Config updated: enabled=True, interval=1min, episodes=2"]


def test_shortened_interval_counts_from_the_last_slot(policy, scheduler):
    slot = timezone.now() - timedelta(seconds=20)
    TrainingRun.objects.create(
        policy=policy, trigger="schedule", status="failed", episodes=1, config={}, scheduled_for=slot
    )
    PolicyStore.objects.update(next_run_at=slot + timedelta(minutes=60))
    policy.interval_minutes = 1
    policy.save_settings()
    assert scheduler.run_due(timezone.now()) == 0
    policy.refresh_from_db()
    assert policy.next_run_at == slot + timedelta(minutes=1)


def test_shortened_interval_whose_slot_has_passed_is_due_at_once(policy, scheduler):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(minutes=50))
    policy.interval_minutes = 1
    policy.save_settings()
    assert scheduler.run_due(timezone.now()) == 1


def test_policy_is_due_after_the_clock_was_set_back(policy, scheduler):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(days=1))
    assert scheduler.run_due(timezone.now()) == 1


def test_slot_after_the_clock_was_set_back_is_a_new_one(policy, scheduler):
    now = timezone.now()
    for hours in (-1, 0, 1):
        TrainingRun.objects.create(
            policy=policy,
            trigger="schedule",
            status="failed",
            episodes=1,
            config={},
            scheduled_for=now + timedelta(hours=hours, minutes=-5),
        )
    PolicyStore.objects.update(next_run_at=now + timedelta(hours=2, minutes=-5))
    assert scheduler.run_due(now) == 1
    policy.refresh_from_db()
    assert policy.schedule_error == ""
    assert policy.next_run_at == now + timedelta(hours=1)


def test_running_beat_notices_that_the_clock_was_set_back(policy, scheduler):
    now = timezone.now()
    assert scheduler.run_due(now + timedelta(days=1)) == 1
    lifecycle.cancel(TrainingRun.objects.get())
    scheduler.run_due(now)
    assert PolicyStore.objects.get().next_run_at <= now + timedelta(hours=1)


def test_invalid_config_is_reported_and_the_other_policies_run(policy, scheduler):
    healthy = PolicyStore.objects.create(name="healthy")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rl_training_policystore SET ppo = '{\"gamma\": 7}' WHERE name = 'rl_v3'")
    assert scheduler.run_due(timezone.now()) == 1
    assert TrainingRun.objects.get().policy == healthy
    sick = PolicyStore.objects.get(name="rl_v3")
    assert "gamma" in sick.schedule_error
    assert sick.next_run_at > timezone.now()


def test_database_error_ends_the_tick_and_is_logged(scheduler, caplog, monkeypatch):
    def fail(now: object) -> int:
        raise OperationalError("database is away")

    monkeypatch.setattr(scheduler, "run_due", fail)
    assert scheduler.tick() <= 1
    assert "database is away" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_beat_that_was_stopped_gives_owners_time_for_a_heartbeat(policy, streams, scheduler):
    run = claimed_run(policy)
    TrainingRun.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=40))
    scheduler._database_back_at -= 3600
    scheduler._last_round -= timedelta(seconds=40)
    scheduler.do_housekeeping(timezone.now())
    assert TrainingRun.objects.get().status == "running"
    scheduler._database_back_at -= 15
    scheduler._last_round = timezone.now()
    scheduler.do_housekeeping(timezone.now())
    assert TrainingRun.objects.get(pk=run.pk).status == "queued"


def test_beat_that_was_answered_late_gives_owners_time_for_a_heartbeat(policy, streams, scheduler, monkeypatch):
    claimed_run(policy)
    TrainingRun.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=40))
    scheduler._database_back_at -= 3600

    def answer_late(now: object) -> None:
        scheduler._last_round -= timedelta(seconds=40)

    with monkeypatch.context() as late:
        late.setattr(scheduler, "run_due", answer_late)
        late.setattr(scheduler, "_housekeeping_at", math.inf)
        scheduler.tick()
    scheduler.tick()
    assert TrainingRun.objects.get().status == "running"
