import errno
import json
import math
import sys
from pathlib import Path

import pytest
from django.conf import settings
from pydantic import ValidationError

from rl_training.alerts.version_facts import last_versions
from rl_training.files import artifacts
from rl_training.models import PolicyVersion, TrainingRun
from rl_training.runs import lifecycle
from rl_training.tasks import train_policy
from rl_training.worker.execution import execute
from rl_training.worker.ownership import Owner
from rl_training.worker.version_files import VersionsUnreadableError
from tests.active_runs import claim

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
BITCOIN = "BTC_USD-Hourly.csv"

# Each test commits, as a worker does: events reach the streams after the commit.
pytestmark = pytest.mark.django_db(transaction=True)


def enqueue(policy, **options) -> TrainingRun:
    return lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, **options)


@pytest.fixture
def finished(small_policy, streams) -> TrainingRun:
    run = enqueue(small_policy, seed=7)
    train_policy(run.run_id)
    return TrainingRun.objects.get(pk=run.pk)


def test_finished_run_stores_its_result_a_version_and_two_events(finished, streams):
    assert (finished.status, finished.attempt, finished.episodes_done) == ("succeeded", 1, 2)
    assert finished.environment_steps == 2 * 4 * 32
    assert finished.iterations_done == 2
    assert len(finished.episode_rewards) == 2
    assert finished.final_reward == finished.episode_rewards[-1]
    assert math.isclose(finished.avg_reward, sum(finished.episode_rewards) / 2)
    assert math.isfinite(finished.avg_policy_loss)
    assert math.isfinite(finished.avg_value_loss)
    assert finished.version.number == 1
    assert len(finished.version.sha256) == 64
    assert {"total_return", "sharpe", "buy_and_hold"} <= finished.version.evaluation.keys()
    assert finished.market_summary["bars"] == 5031
    assert [streams.xlen(f"rl_v3.training.{kind}") for kind in ("started", "progress", "completed")] == [1, 2, 1]


def test_finished_run_stores_its_curve_and_announces_the_newest_metrics(finished, streams):
    assert finished.curve["episodes"]["x"] == [1, 2]
    # Two episodes of 32 steps, in rollouts of 32.
    assert finished.curve["iterations"]["x"] == [1, 2]
    assert all(len(values) == 2 for name, values in finished.curve["iterations"].items() if name != "width")
    last = json.loads(streams.xrevrange("rl_v3.training.progress", count=1)[0][1]["payload"])
    assert last["iteration"] == 2
    metrics = finished.curve["iterations"].keys() - {"x", "width"}
    assert finished.curve["held_out"]["x"] == [1, 2]
    for name in ("training_reward", "held_out_reward"):
        assert math.isclose(last[name], finished.curve["held_out"][name][-1], rel_tol=1e-5)
    assert metrics == {"entropy", "approx_kl", "clip_fraction", "explained_variance", "policy_loss", "value_loss"}
    for name in metrics:
        assert math.isclose(last[name], finished.curve["iterations"][name][-1], rel_tol=1e-5)


def test_run_of_several_members_makes_one_version_and_names_the_member(small_policy, streams, caplog):
    run = enqueue(small_policy, seed=7)
    TrainingRun.objects.filter(pk=run.pk).update(config=run.config | {"seeds": 2})
    train_policy(run.run_id)
    run.refresh_from_db()
    assert (run.status, run.episodes_done, run.iterations_done, run.environment_steps) == ("succeeded", 2, 4, 512)
    assert len(run.episode_rewards) == 2
    assert PolicyVersion.objects.get().run == run
    lines = [record.msg for record in caplog.records if record.msg["event"] == "Episode complete"]
    assert [(line["episode"], line["member"]) for line in lines] == [
        *(("1/2", "1/2"), ("2/2", "1/2"), ("1/2", "2/2"), ("2/2", "2/2"))
    ]
    entries = [json.loads(fields["payload"]) for _, fields in streams.xrange("rl_v3.training.progress")]
    keys = ("member", "members", "episode", "episodes_done", "environment_steps")
    assert [tuple(entry[key] for key in keys) for entry in entries] == [
        *((1, 2, 1, 0, 128), (1, 2, 2, 1, 256), (2, 2, 1, 1, 384), (2, 2, 2, 2, 512))
    ]


def test_run_whose_stored_settings_are_refused_fails_with_their_problems(small_policy, streams):
    run = enqueue(small_policy)
    TrainingRun.objects.filter(pk=run.pk).update(config=run.config | {"ppo": {"gamma": 7}})
    with pytest.raises(ValidationError):
        train_policy(run.run_id)
    run.refresh_from_db()
    problem = "the stored settings are invalid: ppo.gamma: Input should be less than or equal to 1, got 7"
    assert (run.status, run.error) == ("failed", problem)


def test_version_trained_on_all_bars_has_an_empty_evaluation(small_policy, streams, client, admin_user):
    small_policy.market = small_policy.market.model_copy(update={"train_fraction": 1.0})
    small_policy.save_settings()
    run = enqueue(small_policy)
    train_policy(run.run_id)
    version = PolicyVersion.objects.get()
    assert (version.run.status, version.evaluation) == ("succeeded", {})
    assert [one.total_return for _, found in last_versions([small_policy.pk], 3) for one in found] == [None]
    client.force_login(admin_user)
    pages = (
        "",
        "policies/rl_v3/",
        "policies/rl_v3/versions/1/",
        f"runs/{run.run_id}/",
        "api/v1/policies/rl_v3/versions/1/",
    )
    for path in (*pages, "charts/rl_v3/held-out.json"):
        assert client.get(f"/{path}").status_code == 200, path


def test_finished_run_leaves_no_checkpoint(finished):
    assert [path for path in settings.CHECKPOINT_ROOT.iterdir() if finished.run_id in path.name] == []


def test_artifact_holds_weights_and_metrics(finished):
    folder = settings.ARTIFACT_ROOT / finished.version.artifact
    names = sorted(path.name.split(".tfevents")[0] for path in folder.iterdir())
    assert names == ["events.out", "manifest.json", "policy.safetensors"]


def test_evaluation_counts_as_activity_of_the_owner(small_policy, streams, monkeypatch):
    noted = []
    monkeypatch.setattr(Owner, "note_activity", lambda owner: noted.append(owner.progress.episodes_done))
    train_policy(enqueue(small_policy).run_id)
    assert 2 in noted


def test_next_run_starts_from_the_previous_version(finished, small_policy):
    train_policy(enqueue(small_policy).run_id)
    second = PolicyVersion.objects.get(number=2)
    assert second.parent == second.run.started_from == finished.version
    assert second.run.start_note == ""
    assert second.sha256 != finished.version.sha256


def test_run_with_another_network_shape_starts_from_scratch(finished, small_policy):
    small_policy.ppo = small_policy.ppo.model_copy(update={"hidden_sizes": [4]})
    small_policy.save_settings()
    run = enqueue(small_policy)
    train_policy(run.run_id)
    assert PolicyVersion.objects.get(number=2).parent is None
    run.refresh_from_db()
    assert (run.initial_version, run.started_from) == (finished.version, None)
    assert run.start_note == (
        "version 1 cannot be continued: the policy does not fit the config: hidden_sizes: the policy's [8], the "
        "config's [4]"
    )


def test_run_on_another_market_continues_and_notes_the_change(finished, small_policy, caplog):
    small_policy.market = small_policy.market.model_copy(update={"source": "nasdaq"})
    small_policy.save_settings()
    run = enqueue(small_policy)
    train_policy(run.run_id)
    run.refresh_from_db()
    note = "Continuing from version 1, which was trained on another market: sp500 -> nasdaq"
    assert (run.started_from, run.start_note) == (finished.version, f"{note}.")
    assert [record.levelname for record in caplog.records if record.msg["event"] == note] == ["WARNING"]


def test_run_starts_from_the_parent_of_a_damaged_version(finished, small_policy):
    train_policy(enqueue(small_policy).run_id)
    second = PolicyVersion.objects.get(number=2)
    weights = settings.ARTIFACT_ROOT / second.artifact / "policy.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    train_policy(enqueue(small_policy).run_id)
    third = PolicyVersion.objects.get(number=3)
    assert third.parent == third.run.started_from == finished.version
    assert third.run.start_note == "Version 2 cannot be read."


def test_run_without_a_readable_version_fails_with_instructions(finished, small_policy):
    (settings.ARTIFACT_ROOT / finished.version.artifact / "policy.safetensors").unlink()
    run = enqueue(small_policy)
    with pytest.raises(VersionsUnreadableError):
        train_policy(run.run_id)
    run.refresh_from_db()
    assert run.error == (
        f"neither version 1 of rl_v3 nor a version before it can be read from {settings.ARTIFACT_ROOT}; restore it, "
        "or start anew: train_policy rl_v3 --from scratch"
    )


def test_storage_error_fails_the_run_instead_of_starting_from_scratch(finished, small_policy, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts, "fetch", fail)
    run = enqueue(small_policy)
    with pytest.raises(OSError, match="No space left"):
        train_policy(run.run_id)
    run.refresh_from_db()
    assert (run.status, PolicyVersion.objects.count()) == ("failed", 1)


def test_failed_run_keeps_the_rewards_of_its_finished_episodes(small_policy, streams, monkeypatch, client, admin_user):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts, "store", fail)
    run = enqueue(small_policy)
    with pytest.raises(OSError, match="No space left"):
        train_policy(run.run_id)
    run.refresh_from_db()
    assert (run.status, run.episodes_done, len(run.episode_rewards)) == ("failed", 2, 2)
    assert (run.final_reward, run.avg_reward) == (run.episode_rewards[-1], sum(run.episode_rewards) / 2)
    assert run.avg_policy_loss is not None
    assert run.avg_value_loss is not None
    payload = json.loads(streams.xrevrange("rl_v3.training.completed", count=1)[0][1]["payload"])
    assert (payload["avg_reward"], payload["final_reward"]) == (None, None)


def test_same_seed_from_scratch_makes_the_same_weights(finished, small_policy):
    train_policy(enqueue(small_policy, seed=7, from_scratch=True).run_id)
    assert PolicyVersion.objects.get(number=2).sha256 == finished.version.sha256


def test_missing_market_file_fails_the_run_and_is_named(small_policy, streams):
    small_policy.market = small_policy.market.model_copy(update={"source": "file", "path": "absent.csv"})
    small_policy.save_settings()
    run = enqueue(small_policy)
    with pytest.raises(ValueError, match="absent.csv"):
        train_policy(run.run_id)
    run.refresh_from_db()
    assert run.status == "failed"
    assert "absent.csv" in run.error
    assert "Traceback" in run.traceback
    [(_, entry)] = streams.xrange("rl_v3.training.completed")
    payload = json.loads(entry["payload"])
    assert (payload["success"], payload["error"], payload["avg_reward"]) == (False, run.error, None)


def test_failed_run_stores_its_market_summary(small_policy, streams):
    small_policy.environment = small_policy.environment.model_copy(update={"episode_length": 5_000})
    small_policy.save_settings()
    run = enqueue(small_policy)
    with pytest.raises(ValueError, match="sp500: 4024 of the 5031 bars are to train on, but at least 5104 are"):
        train_policy(run.run_id)
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.market_summary is not None
    assert run.market_summary["bars"] == 5031


@pytest.mark.skipif(not (SHARED / BITCOIN).exists(), reason="the shared market data is not beside the checkout")
def test_hourly_bitcoin_run_is_evaluated_against_buy_and_hold_with_costs(small_policy, streams, settings):
    settings.MARKET_DATA_ROOT = SHARED
    small_policy.market = small_policy.market.model_copy(update={"source": "file", "path": BITCOIN})
    small_policy.environment = small_policy.environment.model_copy(update={"fee": 0.0005})
    small_policy.save_settings()
    train_policy(enqueue(small_policy).run_id)
    run = TrainingRun.objects.get()
    assert run.market_summary is not None
    assert (run.status, run.market_summary["name"], run.market_summary["bars"]) == ("succeeded", BITCOIN, 33_259)
    evaluation = run.version.evaluation
    assert evaluation["bars"] == 6_548  # the last 20 %, less the features' window and the bar after the last decision
    assert evaluation["annualisation"] == 8766.0
    assert evaluation["costs_paid"] > 0
    # Bought at 36,773.06 with costs, worth 43,312.27 at the end.
    assert round(evaluation["buy_and_hold"]["total_return"], 4) == 0.1771


def test_stopped_run_is_resumed_to_the_same_weights(finished, small_policy):
    run = enqueue(small_policy, seed=7, from_scratch=True)
    execute(claim(run), should_stop=lambda: True)
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("queued", 1)
    train_policy(run.run_id)
    run.refresh_from_db()
    assert (run.status, run.attempt) == ("succeeded", 2)
    assert run.version.sha256 == finished.version.sha256


def test_run_in_a_process_that_exits_is_queued_again(small_policy, streams):
    run = enqueue(small_policy)
    with pytest.raises(SystemExit):
        execute(claim(run), should_stop=sys.exit)
    run.refresh_from_db()
    assert (run.status, run.attempt, run.workers_lost) == ("queued", 1, 0)
