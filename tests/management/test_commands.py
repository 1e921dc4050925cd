import json
import re
import time
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from rl_training.management import following
from rl_training.management.commands.policy_decide import Command
from rl_training.management.commands.up import public_url
from rl_training.models import TrainingRun
from rl_training.presence import heartbeats
from rl_training.runs import lifecycle
from tests.active_runs import claimed_run
from tests.stored import finished_run, store_raw, walked_forward

pytestmark = pytest.mark.django_db


def output_of(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


def refusal_of(*command: str) -> CommandError:
    with pytest.raises(CommandError) as error:
        output_of(*command)
    return error.value


def test_train_policy_queues_run_and_prints_it(policy):
    printed = json.loads(output_of("train_policy", "rl_v3", "--episodes", "3", "--seed", "7", "--json"))
    run = TrainingRun.objects.get()
    assert (printed["run_id"], printed["status"], printed["seed"]) == (run.run_id, "queued", 7)
    assert (run.trigger, run.episodes) == ("command", 3)


def test_train_policy_of_unknown_policy_names_known_policies(policy):
    error = refusal_of("train_policy", "rl_v4")
    assert (error.returncode, str(error)) == (2, "unknown policy 'rl_v4'; known policies: rl_v3")


def test_train_policy_with_active_run_exits_with_status_3(policy):
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.SCHEDULE)
    error = refusal_of("train_policy", "rl_v3")
    assert error.returncode == 3
    assert run.run_id in str(error)


@pytest.mark.parametrize("start", ["1", "newest", "-1", 5000 * "9"])
def test_train_policy_from_unknown_version_is_refused(policy, start):
    error = refusal_of("train_policy", "rl_v3", f"--from={start}")
    assert error.returncode == 2
    assert "expected scratch or a version number; rl_v3 has no version yet" in str(error)


def test_backup_and_restore_name_the_file_and_no_number_of_an_error(policy, tmp_path):
    absent = tmp_path / "none"
    assert str(refusal_of("restore", str(absent))) == f"{absent} cannot be read: No such file or directory."
    assert str(refusal_of("backup", str(absent / "b"))) == f"{absent}/b cannot be written: there is no folder {absent}."


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff\xfe", "no text in UTF-8"), (b"  \nword", "is empty"), (b"", "is empty")]
)
def test_file_without_a_passphrase_is_refused(content, message, tmp_path):
    (tmp_path / "passphrase").write_bytes(content)
    with pytest.raises(CommandError, match=message):
        call_command("backup", str(tmp_path / "backup"), "--passphrase-file", str(tmp_path / "passphrase"))
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize(
    "option", ["--episodes=0", "--episodes=1e3", "--seed=-1", "--seed=4294967296", f"--seed={5000 * '9'}"]
)
def test_train_policy_with_number_out_of_range_queues_nothing(policy, option):
    assert "is not a whole number from" in str(refusal_of("train_policy", "rl_v3", option))
    assert TrainingRun.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_train_policy_local_prints_finished_run(small_policy, streams):
    command = ("train_policy", "rl_v3", "--local", "--from", "scratch", "--seed", "7", "--json")
    first, second = json.loads(output_of(*command)), json.loads(output_of(*command))
    assert (first["status"], first["version"], second["version"]) == ("succeeded", 1, 2)
    assert first["sha256"] == second["sha256"]
    assert streams.llen("training") == 0


@pytest.mark.django_db(transaction=True)
def test_train_policy_local_prints_the_market_in_words(small_policy, streams):
    printed = output_of("train_policy", "rl_v3", "--local", "--from", "scratch")
    assert re.search(r"^market: name sp500, .*bars 5031", printed, re.MULTILINE)


@pytest.mark.django_db(transaction=True)
def test_train_policy_local_with_failed_run_exits_with_status_1(small_policy, streams, capsys):
    small_policy.market = small_policy.market.model_copy(update={"source": "file", "path": "absent.csv"})
    small_policy.save_settings()
    out = StringIO()
    with pytest.raises(SystemExit) as error:
        call_command("train_policy", "rl_v3", "--local", "--json", stdout=out, stderr=StringIO())
    assert error.value.code == 1
    assert "absent.csv" in json.loads(out.getvalue())["error"]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_train_policy_wait_prints_progress_without_a_terminal(policy, monkeypatch, options):
    steps: list[dict[str, Any]] = [
        {"status": "running"},
        {"episodes_done": 1},
        {"episodes_done": 2},
        {"status": "succeeded"},
    ]
    changes = iter(steps)
    monkeypatch.setattr(following, "PROGRESS_LINE_SECONDS", 0.0)
    monkeypatch.setattr(time, "sleep", lambda _: TrainingRun.objects.update(**next(changes)))
    out, err = StringIO(), StringIO()
    call_command("train_policy", "rl_v3", "--wait", *options, stdout=out, stderr=err)
    run_id = TrainingRun.objects.get().run_id
    lines = (err if options else out).getvalue().splitlines()
    assert lines[:4] == [
        f"Run {run_id} is queued: episode 0 of 2",
        f"Run {run_id} is running: episode 0 of 2",
        f"Run {run_id} is running: episode 1 of 2",
        f"Run {run_id} is running: episode 2 of 2",
    ]
    if options:
        assert json.loads(out.getvalue())["status"] == "succeeded"


def test_training_status_shows_schedule_and_outcome(policy):
    lifecycle.fail(claimed_run(policy), "no bars")
    [status] = json.loads(output_of("training_status", "--json"))
    assert (status["policy"], status["active"], status["total_runs"]) == ("rl_v3", None, 1)
    assert (status["last_status"], status["last_error"]) == ("failed", "no bars")
    assert "rl_v3: every 60 min, 2 episodes a run" in output_of("training_status", "rl_v3")
    assert refusal_of("training_status", "rl_v4").returncode == 2


def test_training_status_of_an_idle_policy_names_its_last_runs(policy):
    ended = [finished_run(policy).run_id, finished_run(policy, status="cancelled").run_id]
    lines = output_of("training_status", "rl_v3").splitlines()
    # A cancelled run is no finished run.
    assert lines[1].startswith("  0 finished runs, 0 succeeded; last: succeeded")
    assert [line.split()[1:3] for line in lines[2:]] == [[ended[1], "cancelled"], [ended[0], "succeeded"]]
    assert len(output_of("training_status").splitlines()) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["ppo.gamma=" + "[" * 20_000], "--set ppo.gamma: nested too deeply; a value is at most a list of values"),
        (["market.path=\udcff"], "--set market.path: text that no encoding can hold"),
        (["ppo.gamma=0.9", "ppo.gamma=0.8"], "--set ppo.gamma: given more than once"),
    ],
)
def test_walk_forward_with_an_unreadable_change_is_refused(policy, changes, message):
    refusal = refusal_of("walk_forward", "rl_v3", *(part for change in changes for part in ("--set", change)))
    assert (str(refusal), refusal.returncode) == (message, 2)


def test_walk_forward_of_a_validated_recipe_names_what_it_monitors(policy):
    validation = walked_forward(policy)
    assert f"monitors: {validation}\n" in output_of("walk_forward", "rl_v3")


def test_walk_forward_that_monitors_says_how_many_folds_it_has(policy, capsys):
    validation = walked_forward(policy)
    call_command("walk_forward", "rl_v3", "--folds", str(validation.folds + 1))
    assert capsys.readouterr().err.endswith(
        f"It has {validation.folds} folds, like validation {validation}, which it monitors.\n"
    )


@pytest.mark.parametrize("command", [("train_policy", "rl_v3", "--wait"), ("walk_forward", "rl_v3", "--wait")])
def test_waiting_that_is_interrupted_ends_in_a_line_with_status_130(policy, monkeypatch, command):
    def press(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", press)
    error = refusal_of(*command)
    assert (error.returncode, str(error).split(";")[0]) == (130, "Not waiting any longer")
    assert str(error).endswith(" goes on.")


def test_account_of_a_decision_may_be_a_small_negative_number():
    parser = Command().create_parser("manage", "policy_decide")
    assert parser.parse_args(["rl_v3", "--account", "-1", "-1e-5", "0.02"]).account == [-1, -1e-5, 0.02]


def test_training_status_says_why_a_queued_run_waits(policy, streams):
    policy.runs.create(trigger="api", episodes=2, config={})
    assert "queued\n" in output_of("training_status")
    heartbeats.record("worker")
    heartbeats.record_preparing(True)
    assert "queued: the worker is preparing: the first time on a machine, it compiles for about a minute" in output_of(
        "training_status"
    )


def test_training_status_shows_the_active_run_and_its_start(policy):
    run = claimed_run(policy)
    TrainingRun.objects.update(start_note="version 3 cannot be continued: features differ")
    [status] = json.loads(output_of("training_status", "--json"))
    start = "Started from scratch: version 3 cannot be continued: features differ"
    assert (status["active"], status["active_run"], status["active_start"]) == ("running", run.run_id, start)
    assert f", running\n  run {run.run_id}: {start}\n" in output_of("training_status", "rl_v3")


def test_training_status_escapes_control_characters(policy):
    lifecycle.fail(claimed_run(policy), "\x1b]0;title\x07")
    assert "\\x1b]0;title\\x07" in output_of("training_status", "rl_v3")


@pytest.mark.django_db(transaction=True)
def test_training_events_prints_streams_in_order(policy, streams):
    lifecycle.fail(claimed_run(policy), "no bars")
    printed = [json.loads(line) for line in output_of("training_events").splitlines()]
    assert [entry["event_type"] for entry in printed] == ["rl_v3.training.started", "rl_v3.training.completed"]
    assert printed[1]["payload"]["error"] == "no bars"


def test_train_policy_with_invalid_stored_config_names_the_field(policy):
    store_raw(policy, "ppo", {"gamma": 7})
    error = refusal_of("train_policy", "rl_v3")
    assert error.returncode == 2
    assert "gamma" in str(error)


@pytest.mark.parametrize(
    ("https", "hosts", "origins", "url"),
    [
        (False, ["localhost", "127.0.0.1"], ["http://a.org:8080"], None),
        (False, [".a.org"], [], "http://a.org"),
        (True, ["a.org"], [], "https://a.org"),
        (True, ["localhost"], ["https://*.a.org", "https://localhost:8443"], "https://localhost:8443"),
        (True, ["*"], [], "https://127.0.0.1"),
    ],
)
def test_printed_url_is_the_origin_that_clients_use(settings, https, hosts, origins, url):
    settings.HTTPS, settings.ALLOWED_HOSTS, settings.CSRF_TRUSTED_ORIGINS = https, hosts, origins
    assert public_url() == url
