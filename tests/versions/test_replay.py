"""A replay makes the weights of its run, or names the first difference."""

import json

import pytest
from django.core.management import CommandError, call_command

from rl_training.core import fault_points
from rl_training.core.market.sources import load_market
from rl_training.files import bars
from rl_training.models import PolicyVersion, TrainingEvent, TrainingRun
from rl_training.runs import lifecycle
from rl_training.tasks import train_policy
from rl_training.versions.replay import Kind, environment_differences, replay
from rl_training.worker.execution import execute
from tests.active_runs import claim
from tests.stored import deploy

pytestmark = pytest.mark.django_db(transaction=True)

MARKET = {"source": "planted", "bars": 900}


@pytest.fixture
def policy_of_two(small_policy, streams, artifact_root):
    """Return a policy whose runs train two members on a small market."""
    small_policy.seeds = 2
    small_policy.market = small_policy.market.model_copy(update=MARKET)
    small_policy.save_settings()
    return small_policy


def finished(policy, **columns) -> TrainingRun:
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    train_policy(run.run_id)
    return read(run)


def read(run: TrainingRun) -> TrainingRun:
    return TrainingRun.objects.select_related("policy", "started_from").get(pk=run.pk)


class Killed(BaseException):
    """Raised at a fault point, in place of a signal."""


def killed_and_resumed(policy) -> TrainingRun:
    """Return a finished run whose first worker was killed in its third iteration."""
    iterations = []

    def kill() -> None:
        iterations.append(1)
        if len(iterations) == 3:
            raise Killed

    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    fault_points.arm("iteration", kill)
    try:
        with pytest.raises(Killed):
            execute(claim(run), should_stop=lambda: False)
    finally:
        fault_points.arm("iteration", lambda: None)
    assert lifecycle.requeue(read(run), "its worker was lost", workers_lost=1)
    train_policy(run.run_id)
    return read(run)


def test_replays_over_all_start_rules_and_a_kill_are_equal(policy_of_two):
    runs = []
    for start in ("scratch", "newest", "live"):
        policy_of_two.start_from = start
        policy_of_two.save_settings()
        runs += [finished(policy_of_two), killed_and_resumed(policy_of_two)]
        if start == "scratch":
            deploy(PolicyVersion.objects.get(number=1))
    started = [run.started_from.number if run.started_from else None for run in runs]
    assert (started, runs[1].attempt) == ([None, None, 2, 3, 1, 1], 2)
    before = (TrainingRun.objects.count(), TrainingEvent.objects.count())
    for run in runs:
        found = replay(run)
        assert (found.equal, found.differences, found.notes) == (True, (), ())
    assert (TrainingRun.objects.count(), TrainingEvent.objects.count()) == before


def test_missing_bars_are_taken_from_a_source_that_gives_the_same(policy_of_two, artifact_root):
    run = finished(policy_of_two)
    (artifact_root / "market-bars" / f"{run.bars_digest}.npz").unlink()
    found = replay(run)
    [note] = found.notes
    assert (found.equal, note.kind, note.text) == (
        True,
        Kind.BARS,
        f"the bars {run.bars_digest} are not stored; the source gives the same",
    )


@pytest.fixture
def run_on_a_file(policy_of_two, settings, tmp_path) -> TrainingRun:
    """Return a run on a market file in which a price was changed afterwards."""
    settings.MARKET_DATA_ROOT = tmp_path
    market = load_market(policy_of_two.market)
    columns = zip(market.timestamp, market.open, market.high, market.low, market.close, market.volume, strict=True)
    lines = ["timestamp,open,high,low,close,volume", *(",".join(map(str, row)) for row in columns)]
    (tmp_path / "prices.csv").write_text("\n".join(lines))
    policy_of_two.market = policy_of_two.market.model_copy(update={"source": "file", "path": "prices.csv"})
    policy_of_two.save_settings()
    run = finished(policy_of_two)
    (tmp_path / "prices.csv").write_text("\n".join(lines[:-1]))
    return run


def test_changed_source_has_no_effect_while_the_bars_are_stored(run_on_a_file):
    found = replay(run_on_a_file)
    assert found.equal
    assert [(note.kind, note.text[:40]) for note in found.notes] == [
        (Kind.BARS, "the source gives other bars now: MarketD")
    ]


def test_changed_source_without_stored_bars_is_the_first_difference(run_on_a_file, artifact_root):
    for digest in bars.digests():
        (artifact_root / "market-bars" / f"{digest}.npz").unlink()
    found = replay(run_on_a_file)
    assert (found.equal, found.replayed_sha256, found.differences[0].kind) == (False, None, Kind.BARS)


def test_removed_initial_weights_are_the_first_difference(policy_of_two, artifact_root):
    first, second = finished(policy_of_two), finished(policy_of_two)
    (artifact_root / first.version.artifact / "policy.safetensors").unlink()
    found = replay(second)
    assert (found.equal, found.differences[0].kind) == (False, Kind.INITIAL_WEIGHTS)
    assert "version 1, which the run started from, cannot be read" in found.differences[0].text


@pytest.mark.parametrize(
    ("section", "field", "kind"),
    [
        ("code", "sha256", Kind.CODE),
        ("libraries", "torch", Kind.LIBRARIES),
        ("kernels", "blas", Kind.KERNELS),
        ("", "device", Kind.KERNELS),
    ],
)
def test_other_weights_in_another_environment_name_what_differs(policy_of_two, section, field, kind):
    run = finished(policy_of_two)
    PolicyVersion.objects.update(sha256="0" * 64)
    assert run.computing_environment is not None
    (run.computing_environment[section] if section else run.computing_environment)[field] = "another"
    found = replay(run)
    assert (found.equal, [difference.kind for difference in found.differences]) == (False, [kind])
    assert "another, " in found.differences[0].text


def test_other_weights_without_any_difference_are_unexplained(policy_of_two):
    run = finished(policy_of_two)
    PolicyVersion.objects.update(sha256="0" * 64)
    assert [difference.kind for difference in replay(run).differences] == [Kind.UNKNOWN]


def test_refused_settings_of_the_run_are_named(policy_of_two):
    run = finished(policy_of_two)
    run.config["episodes"] = 0
    problem = "this release refuses the run's settings: episodes: Input should be greater than or equal to 1, got 0"
    assert [(found.kind, found.text) for found in replay(run).differences] == [(Kind.CODE, problem)]


def test_changed_evaluation_is_named(policy_of_two):
    run = finished(policy_of_two)
    version = PolicyVersion.objects.get()
    version.evaluation["sharpe"] += 1e-9
    version.save()
    found = replay(run)
    assert (found.equal, found.sha256 == found.replayed_sha256) == (False, True)
    assert found.differing_metrics == ("sharpe",)


def test_differences_are_named_in_order():
    now = {"code": {"sha256": "a"}, "libraries": {"torch": "1"}, "kernels": {"cpu": "x"}, "device": "cpu", "threads": 2}
    other = {"code": {"sha256": "b"}, "libraries": {"torch": "2"}, "kernels": {"cpu": "y"}, "device": "c", "threads": 4}
    kinds = [difference.kind for difference in environment_differences(other, now)]
    assert kinds == [Kind.CODE, Kind.LIBRARIES, Kind.KERNELS, Kind.KERNELS, Kind.THREADS]
    [threads] = environment_differences(now, now)
    assert (threads.kind, threads.text[:50]) == (Kind.THREADS, "the networks have more than a million parameters: ")
    [resumed] = environment_differences(
        {**now, "threads": None, "earlier": [{**now, "device": "c", "threads": None}]}, now | {"threads": None}
    )
    assert resumed.text == "device: c in an earlier attempt, cpu now"
    [old] = environment_differences(None, now)
    assert old.kind == Kind.UNKNOWN


def test_command_prints_the_result_and_exits_by_it(policy_of_two, capsys):
    run = finished(policy_of_two)
    call_command("replay_run", run.run_id, "--json")
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    sha256 = PolicyVersion.objects.get().sha256
    assert (printed["equal"], printed["sha256"], printed["replayed_sha256"]) == (True, sha256, sha256)
    PolicyVersion.objects.update(sha256="0" * 64)
    with pytest.raises(SystemExit, match="1"):
        call_command("replay_run", run.run_id)
    assert "Different. First difference: unknown" in capsys.readouterr().out


def test_command_refuses_a_run_without_a_version(policy_of_two):
    run = lifecycle.enqueue(policy_of_two, TrainingRun.Trigger.COMMAND)
    for run_id, message in ((run.run_id, f"run {run.run_id} made no version: it is queued"), ("0" * 12, "no run 0000")):
        with pytest.raises(CommandError, match=message) as error:
            call_command("replay_run", run_id)
        assert error.value.returncode == 2
