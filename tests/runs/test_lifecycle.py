from datetime import timedelta

import pytest
from django.db import OperationalError

from rl_training.models import PolicyVersion, TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from rl_training.runs.lifecycle import Outcome
from rl_training.streams import outbox, relay
from tests.active_runs import claim
from tests.stored import deploy

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
    return claim(run)


def succeed(run: TrainingRun) -> PolicyVersion:
    version = lifecycle.succeed(run, OUTCOME)
    assert version is not None
    return version


def status(run: TrainingRun) -> str:
    return TrainingRun.objects.get(pk=run.pk).status


def event_types() -> list[str]:
    return list(TrainingEvent.objects.order_by("id").values_list("event_type", flat=True))


def test_enqueued_run_stores_a_snapshot_of_the_config(policy, run):
    assert run.config["ppo"] == policy.ppo.model_dump(mode="json")
    assert run.config["episodes"] == run.episodes == 2
    assert len(run.run_id) == 12
    assert int(run.run_id, 16) >= 0


def test_policy_with_an_active_run_gets_no_second_run(policy, run):
    with pytest.raises(lifecycle.AlreadyActiveError, match=f"already has a queued run, {run.run_id}") as error:
        lifecycle.enqueue(policy, TrainingRun.Trigger.ADMIN)
    assert error.value.run == run


def test_run_is_claimed_once_however_often_its_message_comes(run):
    assert [lifecycle.claim(run.run_id) is not None for _ in range(3)] == [True, False, False]
    assert TrainingRun.objects.get().attempt == 1


def test_success_creates_the_next_version_and_one_completed_event(policy, claimed):
    version = succeed(claimed)
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
        "version",
        "sha256",
        "artifact",
        "timestamp",
    }
    assert (payload["version"], payload["sha256"], payload["artifact"]) == (1, "0" * 64, "rl_v3/x-1")
    assert (payload["success"], payload["avg_reward"], payload["final_reward"]) == (True, 0.5, 0.75)
    policy.refresh_from_db()
    assert (policy.total_runs, policy.succeeded_runs) == (1, 1)


def test_end_whose_commit_failed_can_be_written_again(claimed, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(outbox, "write", refuse)
        with pytest.raises(OperationalError):
            lifecycle.succeed(claimed, OUTCOME)
    assert (status(claimed), lifecycle.heartbeat(claimed)) == ("running", True)
    assert succeed(claimed).number == 1
    assert (status(claimed), claimed.status, claimed.avg_reward) == ("succeeded", "succeeded", 0.5)


@pytest.mark.django_db(transaction=True)
def test_error_after_the_commit_does_not_fail_the_run(claimed, monkeypatch):
    monkeypatch.setattr(relay, "add", refuse)
    assert succeed(claimed).number == 1
    assert TrainingEvent.objects.get(event_type="rl_v3.training.completed").published_at is None


def refuse(*_, **__):
    raise OperationalError("the connection was ended")


def start_from(policy, word):
    policy.start_from = word
    policy.save_settings()


@pytest.mark.parametrize(("word", "expected"), [("scratch", None), ("live", 1), ("newest", 2)])
def test_start_rule_decides_the_initial_version(policy, claimed, word, expected):
    deploy(succeed(claimed))
    succeed(claim(lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)))
    start_from(policy, word)
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    stored = TrainingRun.objects.get(pk=run.pk).initial_version
    assert run.initial_version == stored
    assert (stored and stored.number) == expected


@pytest.mark.parametrize("word", ["live", "newest"])
def test_start_rule_without_such_a_version_starts_from_scratch(policy, word):
    start_from(policy, word)
    assert lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND).initial_version is None


def test_run_starts_from_the_version_made_while_it_waited_for_insertion(policy, claimed, monkeypatch):
    start_from(policy, "newest")
    insert, made = lifecycle.insert, []

    def wait_and_insert(runs):
        made.append(succeed(claimed))
        insert(runs)

    monkeypatch.setattr(lifecycle, "insert", wait_and_insert)
    assert [lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND).initial_version] == made


def test_run_from_scratch_has_no_initial_version(policy, claimed):
    lifecycle.succeed(claimed, OUTCOME)
    assert lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, from_scratch=True).initial_version is None


def test_failed_run_announces_its_error_and_no_rewards(policy, claimed):
    assert lifecycle.fail(claimed, "market file x.csv is missing")
    payload = TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload
    assert payload["success"] is False
    assert payload["error"] == "market file x.csv is missing"
    assert payload["avg_reward"] is None
    assert payload["final_reward"] is None
    policy.refresh_from_db()
    assert (policy.total_runs, policy.succeeded_runs) == (1, 0)


def test_released_run_is_claimed_as_a_new_attempt(claimed):
    lifecycle.release(claimed)
    assert status(claimed) == "queued"
    assert claim(claimed).attempt == 2


def test_run_cancelled_before_its_first_claim_has_no_events(run):
    assert lifecycle.cancel(run)
    assert lifecycle.claim(run.run_id) is None
    assert (status(run), event_types()) == ("cancelled", [])


def test_running_run_is_cancelled_by_its_owner(claimed, policy):
    assert not lifecycle.cancel_requested(claimed)
    assert lifecycle.cancel(TrainingRun.objects.get(pk=claimed.pk))
    assert (status(claimed), lifecycle.cancel_requested(claimed)) == ("running", True)
    assert lifecycle.end_cancelled(claimed)
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]
    payload = TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload
    assert (payload["success"], payload["error"]) == (False, "cancelled")
    policy.refresh_from_db()
    assert policy.total_runs == 0


def test_released_run_that_is_cancelled_announces_its_end(claimed):
    lifecycle.release(claimed)
    assert lifecycle.cancel(claimed)
    assert (status(claimed), lifecycle.claim(claimed.run_id)) == ("cancelled", None)
    assert event_types() == ["rl_v3.training.started", "rl_v3.training.completed"]


@pytest.mark.parametrize("end", [lambda run: lifecycle.succeed(run, OUTCOME), lambda run: lifecycle.fail(run, "late")])
def test_run_cancelled_after_its_last_iteration_ends_as_cancelled(claimed, end):
    assert lifecycle.cancel(TrainingRun.objects.get())
    end(claimed)
    assert (claimed.status, status(claimed), PolicyVersion.objects.count()) == ("cancelled", "cancelled", 0)
    assert TrainingEvent.objects.get(event_type="rl_v3.training.completed").payload["error"] == "cancelled"


def test_error_text_that_no_database_stores_is_escaped(claimed):
    assert lifecycle.fail(claimed, "row 7: a\0b", "cell \udcff")
    claimed.refresh_from_db()
    assert (claimed.error, claimed.traceback) == (r"row 7: a\x00b", r"cell \udcff")


def test_ended_run_cannot_be_cancelled(claimed):
    lifecycle.succeed(claimed, OUTCOME)
    assert not lifecycle.cancel(TrainingRun.objects.get(pk=claimed.pk))
    assert status(claimed) == "succeeded"


def test_attempt_that_exceeds_the_run_limit_fails(claimed):
    claimed.policy.run_limit_minutes = 30
    claimed.started_at -= timedelta(days=1)
    assert not lifecycle.fail_overdue(claimed, 30 * 60)
    assert lifecycle.fail_overdue(claimed, 30 * 60 + 1)
    claimed.refresh_from_db()
    assert (claimed.status, claimed.error) == ("failed", "took longer than 30 minutes, the policy's run_limit_minutes")
