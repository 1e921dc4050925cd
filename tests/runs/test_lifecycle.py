from datetime import timedelta

import pytest
from django.db import OperationalError
from django.db.models.functions import Now

from rl_training.models import PolicyVersion, TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from rl_training.runs.lifecycle import Outcome
from rl_training.streams import outbox, relay

pytestmark = pytest.mark.django_db

OUTCOME = Outcome(
    run={"avg_reward": 0.5, "final_reward": 0.75, "episodes_done": 2},
    version={"artifact": "rl_v3/x-1", "sha256": "0" * 64, "evaluation": {}, "parent": None},
)


@pytest.fixture
def run(policy) -> TrainingRun:
    return lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)


@pytest.fixture
def claimed(run) -> TrainingRun:
    claimed = lifecycle.claim(run.run_id)
    assert claimed is not None
    return claimed


def status(run: TrainingRun) -> str:
    return TrainingRun.objects.get(pk=run.pk).status


def event_types() -> list[str]:
    return list(TrainingEvent.objects.order_by("id").values_list("event_type", flat=True))


def test_a_run_stores_the_config_that_it_will_start_with(policy, run):
    assert run.config["ppo"] == policy.ppo.model_dump(mode="json")
    assert run.config["episodes"] == run.episodes == 2
    assert len(run.run_id) == 12
    assert int(run.run_id, 16) >= 0


def test_a_policy_with_an_active_run_gets_no_second_one(policy, run):
    with pytest.raises(lifecycle.AlreadyActiveError, match=f"already has a queued run, {run.run_id}") as error:
        lifecycle.enqueue(policy, TrainingRun.Trigger.ADMIN)
    assert error.value.run == run


def test_a_message_delivered_many_times_starts_one_execution(run):
    assert [lifecycle.claim(run.run_id) is not None for _ in range(3)] == [True, False, False]
    assert TrainingRun.objects.get().attempt == 1


def test_success_makes_the_next_version_and_one_completed_event(policy, claimed):
    version = lifecycle.succeed(claimed, OUTCOME)
    assert (version.number, version.policy, version.run) == (1, policy, claimed)
    assert status(claimed) == "succeeded"
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]
    payload = TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload
    assert payload.keys() == {
        "run_id",
        "policy",
        "success",
        "episodes",
        "duration_seconds",
        "avg_reward",
        "final_reward",
        "timestamp",
    }
    assert (payload["success"], payload["avg_reward"], payload["final_reward"]) == (True, 0.5, 0.75)
    policy.refresh_from_db()
    assert (policy.total_runs, policy.succeeded_runs) == (1, 1)


def test_an_end_that_could_not_be_committed_can_be_written_again(claimed, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(outbox, "write", refuse)
        with pytest.raises(OperationalError):
            lifecycle.succeed(claimed, OUTCOME)
    assert (status(claimed), lifecycle.heartbeat(claimed)) == ("running", True)
    assert lifecycle.succeed(claimed, OUTCOME).number == 1
    assert (status(claimed), claimed.status, claimed.avg_reward) == ("succeeded", "succeeded", 0.5)


@pytest.mark.django_db(transaction=True)
def test_what_fails_after_the_commit_is_no_failure_of_the_run(claimed, monkeypatch):
    monkeypatch.setattr(relay, "add", refuse)
    assert lifecycle.succeed(claimed, OUTCOME).number == 1
    assert TrainingEvent.objects.get(event_type="rl_v3.training.completed").published_at is None


def refuse(*_, **__):
    raise OperationalError("the connection was ended")


def test_the_next_run_continues_from_the_newest_version(policy, claimed):
    version = lifecycle.succeed(claimed, OUTCOME)
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    assert run.initial_version == TrainingRun.objects.get(pk=run.pk).initial_version == version


def test_a_run_that_waited_for_the_end_of_another_continues_from_what_that_made(policy, claimed, monkeypatch):
    insert, made = lifecycle.insert, []

    def wait_and_insert(runs):
        made.append(lifecycle.succeed(claimed, OUTCOME))
        insert(runs)

    monkeypatch.setattr(lifecycle, "insert", wait_and_insert)
    assert [lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND).initial_version] == made


def test_a_run_from_scratch_continues_from_nothing(policy, claimed):
    lifecycle.succeed(claimed, OUTCOME)
    assert lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, from_scratch=True).initial_version is None


def test_failure_announces_the_error_and_no_rewards(policy, claimed):
    assert lifecycle.fail(claimed, "market file x.csv is missing")
    payload = TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload
    assert payload["success"] is False
    assert payload["error"] == "market file x.csv is missing"
    assert payload["avg_reward"] is None
    assert payload["final_reward"] is None
    policy.refresh_from_db()
    assert (policy.total_runs, policy.succeeded_runs) == (1, 0)


def silent_for(seconds):
    TrainingRun.objects.update(heartbeat_at=Now() - timedelta(seconds=seconds))


def test_a_worker_that_lost_its_run_changes_nothing(claimed):
    silent_for(31)
    lifecycle.reap()
    owner = lifecycle.claim(claimed.run_id)
    assert not lifecycle.heartbeat(claimed)
    assert lifecycle.succeed(claimed, OUTCOME) is None
    assert not lifecycle.fail(claimed, "late")
    lifecycle.release(claimed)
    assert (status(claimed), owner.attempt, PolicyVersion.objects.count()) == ("running", 2, 0)
    assert event_types() == ["rl_v3.training.started"]


def test_a_run_whose_worker_lives_is_not_reaped(claimed):
    silent_for(29)
    assert lifecycle.reap() == 0
    assert status(claimed) == "running"


def test_a_worker_that_shows_itself_in_the_moment_in_which_it_is_looked_for_keeps_its_run(claimed):
    silent_for(31)
    [lost] = TrainingRun.objects.lost(lifecycle.lost_after())
    assert lifecycle.heartbeat(claimed)
    assert not lifecycle._reap(lost)
    assert status(claimed) == "running"


def test_a_clock_that_is_set_back_keeps_no_lost_run_running_nor_takes_one_from_its_worker(claimed):
    silent_for(-3600)
    assert lifecycle.reap() == 0
    assert status(claimed) == "running"
    assert TrainingRun.objects.filter(heartbeat_at__range=(Now() - timedelta(seconds=10), Now())).exists()


def test_after_the_database_kept_everybody_waiting_owners_are_heard_first(claimed, monkeypatch):
    silent_for(31)
    moments = iter([0.0, 6.0, 10.0, 11.0])
    monkeypatch.setattr(lifecycle.time, "monotonic", lambda: next(moments))
    assert [lifecycle.reap(), lifecycle.reap()] == [0, 1]


def test_a_released_run_waits_for_another_worker(claimed):
    lifecycle.release(claimed)
    assert status(claimed) == "queued"
    assert lifecycle.claim(claimed.run_id).attempt == 2


def test_a_worker_that_is_told_to_stop_is_none_that_is_lost(run):
    for _ in range(5):
        lifecycle.release(lifecycle.claim(run.run_id))
    claimed = lifecycle.claim(run.run_id)
    silent_for(31)
    lifecycle.reap()
    run.refresh_from_db()
    assert (run.status, claimed.attempt, run.workers_lost) == ("queued", 6, 1)


def test_the_third_lost_attempt_fails_the_run_with_that_reason(run):
    for _ in range(3):
        lifecycle.claim(run.run_id)
        silent_for(31)
        lifecycle.reap()
    run.refresh_from_db()
    assert (run.status, run.error) == ("failed", "worker lost in 3 attempts")
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]


def test_a_run_cancelled_before_it_started_is_not_heard_of(run):
    assert lifecycle.cancel(run)
    assert lifecycle.claim(run.run_id) is None
    assert (status(run), event_types()) == ("cancelled", [])


def test_a_running_run_is_cancelled_by_its_owner(claimed, policy):
    assert not lifecycle.cancel_requested(claimed)
    assert lifecycle.cancel(TrainingRun.objects.get(pk=claimed.pk))
    assert (status(claimed), lifecycle.cancel_requested(claimed)) == ("running", True)
    assert lifecycle.end_cancelled(claimed)
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]
    payload = TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload
    assert (payload["success"], payload["error"]) == (False, "cancelled")
    policy.refresh_from_db()
    assert policy.total_runs == 0


def test_a_run_cancelled_while_it_waits_to_go_on_announces_its_end(claimed):
    lifecycle.release(claimed)
    assert lifecycle.cancel(claimed)
    assert (status(claimed), lifecycle.claim(claimed.run_id)) == ("cancelled", None)
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]


def test_a_cancelled_run_whose_worker_is_lost_ends(claimed):
    lifecycle.cancel(claimed)
    silent_for(31)
    lifecycle.reap()
    assert status(claimed) == "cancelled"


@pytest.mark.parametrize("end", [lambda run: lifecycle.succeed(run, OUTCOME), lambda run: lifecycle.fail(run, "late")])
def test_a_run_that_was_cancelled_after_its_last_iteration_ends_cancelled(claimed, end):
    assert lifecycle.cancel(TrainingRun.objects.get(pk=claimed.pk))
    end(claimed)
    assert (claimed.status, status(claimed), PolicyVersion.objects.count()) == ("cancelled", "cancelled", 0)
    assert TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload["error"] == "cancelled"


def test_what_no_database_stores_fails_a_run_all_the_same(claimed):
    assert lifecycle.fail(claimed, "row 7: a\0b", "cell \udcff")
    claimed.refresh_from_db()
    assert (claimed.error, claimed.traceback) == (r"row 7: a\x00b", r"cell \udcff")


def test_what_has_ended_cannot_be_cancelled(claimed):
    lifecycle.succeed(claimed, OUTCOME)
    assert not lifecycle.cancel(TrainingRun.objects.get(pk=claimed.pk))
    assert status(claimed) == "succeeded"


def test_an_attempt_that_takes_longer_than_its_policy_allows_fails(claimed):
    claimed.policy.run_limit_minutes = 30
    claimed.started_at -= timedelta(days=1)
    assert not lifecycle.fail_overdue(claimed, 30 * 60)
    assert lifecycle.fail_overdue(claimed, 30 * 60 + 1)
    claimed.refresh_from_db()
    assert (claimed.status, claimed.error) == ("failed", "took longer than 30 minutes, the policy's run_limit_minutes")
