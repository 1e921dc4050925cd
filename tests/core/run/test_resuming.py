import pytest
import structlog
import torch

from rl_training.core.atomic import previous
from rl_training.core.ppo.ppo import Iteration
from rl_training.core.run import checkpoint
from rl_training.core.run.checkpoint import load_checkpoint, save_checkpoint
from rl_training.core.run.progress import Progress
from rl_training.core.run.tally import saved_results
from rl_training.core.run.training import train
from tests.core.run.small_run import CONFIG, MARKET, Killed, bars, changed, same, stop_after


@pytest.mark.parametrize("iteration", range(1, 9))
def test_a_killed_run_resumes_with_the_same_result(tmp_path, whole, iteration):
    def kill(seen):
        if seen.iteration == iteration:
            raise Killed

    with pytest.raises(Killed):
        train(CONFIG, MARKET, checkpoint=tmp_path / "run", on_iteration=kill, checkpoint_seconds=0)
    assert (tmp_path / "run").exists() == (iteration > 1)
    resumed: list[Iteration] = []
    seen: list[Progress] = []
    result = train(CONFIG, MARKET, checkpoint=tmp_path / "run", on_iteration=resumed.append, on_progress=seen.append)
    assert resumed[0].iteration == iteration
    assert seen[-1].episode == 5
    assert same(result, whole)


@pytest.mark.parametrize("iteration", [1, 4, 7])
def test_a_stopped_run_resumes_with_the_same_result(tmp_path, whole, iteration):
    first = train(CONFIG, MARKET, checkpoint=tmp_path / "run", should_stop=stop_after(iteration))
    assert first.stopped
    assert first.environment_steps == 64 * iteration
    assert first.episode_rewards == whole.episode_rewards[: 64 * iteration // 96]
    with pytest.raises(RuntimeError, match="a run that was stopped, .* has no evaluation"):
        _ = first.evaluation
    assert same(train(CONFIG, MARKET, checkpoint=tmp_path / "run"), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_stopped_run_on_cuda_resumes_with_the_same_result(tmp_path):
    on_cuda = changed(CONFIG, ppo__device="cuda")
    train(on_cuda, MARKET, checkpoint=tmp_path / "run", should_stop=stop_after(1))
    assert same(train(on_cuda, MARKET, checkpoint=tmp_path / "run"), train(on_cuda, MARKET))


def test_a_stop_after_the_last_iteration_finishes_the_run(whole):
    assert same(train(CONFIG, MARKET, should_stop=stop_after(8)), whole)


def test_a_damaged_checkpoint_is_logged_and_the_run_starts_anew(tmp_path, whole):
    path = tmp_path / "run"
    train(CONFIG, MARKET, checkpoint=path, should_stop=stop_after(1))
    path.write_bytes(path.read_bytes()[:-1])
    with structlog.testing.capture_logs() as logs:
        assert same(train(CONFIG, MARKET, checkpoint=path), whole)
    assert logs[0]["event"] == "Checkpoint cannot be used"
    assert logs[0]["log_level"] == "warning"
    assert "run: damaged" in logs[0]["error"]


def test_the_previous_checkpoint_replaces_a_damaged_one(tmp_path, whole):
    def kill(seen):
        if seen.iteration == 5:
            raise Killed

    path = tmp_path / "run"
    with pytest.raises(Killed):
        train(CONFIG, MARKET, checkpoint=path, on_iteration=kill, checkpoint_seconds=0)
    path.write_bytes(path.read_bytes()[:-1])
    resumed: list[Iteration] = []
    assert same(train(CONFIG, MARKET, checkpoint=path, on_iteration=resumed.append), whole)
    assert resumed[0].iteration == 4


def test_the_checkpoint_of_an_earlier_attempt_is_only_read(tmp_path, whole):
    first, second = tmp_path / "run-1", tmp_path / "run-2"
    train(CONFIG, MARKET, checkpoint=first, should_stop=stop_after(1))
    before = first.read_bytes()
    resumed: list[Iteration] = []
    result = train(
        CONFIG,
        MARKET,
        checkpoint=second,
        earlier_checkpoints=[first],
        on_iteration=resumed.append,
        checkpoint_seconds=0,
    )
    assert resumed[0].iteration == 2
    assert same(result, whole)
    assert (first.read_bytes(), second.exists()) == (before, True)


def test_a_checkpoint_is_written_at_the_end_of_each_episode(tmp_path):
    written = []

    def look(seen):
        written.append((tmp_path / "run").exists())

    # Episodes of 96 steps in each environment, iterations of 16 x 4.
    train(CONFIG, MARKET, checkpoint=tmp_path / "run", on_iteration=look, checkpoint_seconds=3600)
    assert written[:3] == [False, False, True]


@pytest.mark.parametrize("other", [{"seed": 8}, {"ppo__gamma": 0.5}, {"episodes": 6}])
def test_a_checkpoint_of_another_run_is_logged_and_not_used(tmp_path, whole, other):
    train(changed(CONFIG, **other), MARKET, checkpoint=tmp_path / "run", should_stop=stop_after(1))
    with structlog.testing.capture_logs() as logs:
        assert same(train(CONFIG, MARKET, checkpoint=tmp_path / "run"), whole)
    assert logs[0]["event"] == "Checkpoint is of another run"


def test_a_checkpoint_on_other_bars_is_not_used(tmp_path, whole):
    train(CONFIG, bars(301), checkpoint=tmp_path / "run", should_stop=stop_after(1))
    assert same(train(CONFIG, MARKET, checkpoint=tmp_path / "run"), whole)


def test_a_checkpoint_holds_the_episode_rewards_as_a_tensor(tmp_path, whole):
    train(CONFIG, MARKET, checkpoint=tmp_path / "run", should_stop=stop_after(4))
    tensors, state = load_checkpoint(tmp_path / "run")
    assert tensors["tally.episode_rewards"].tolist() == whole.episode_rewards[:2]
    assert "episode_rewards" not in state["tally"]
    assert saved_results(tmp_path / "run")["episode_rewards"] == whole.episode_rewards[:2]


@pytest.mark.parametrize("number", [2, 3])
def test_a_checkpoint_of_an_older_format_is_resumed(tmp_path, whole, monkeypatch, number):
    path, resumed = tmp_path / "run", list[Iteration]()
    train(CONFIG, MARKET, checkpoint=path, should_stop=stop_after(4))
    tensors, state = load_checkpoint(path)
    for name in ("held_out", "finished_members"):
        del state[name]
    del state["tally"]["finished"], state["tally"]["total"]
    tensors = {name: tensor for name, tensor in tensors.items() if "held_out" not in name}
    if number == 2:
        state["tally"]["episode_rewards"] = tensors.pop("tally.episode_rewards").tolist()
    monkeypatch.setattr(checkpoint, "CHECKPOINT_FORMAT", number)
    save_checkpoint(path, tensors, state)
    assert saved_results(path)["episode_rewards"] == whole.episode_rewards[:2]
    result = train(CONFIG, MARKET, checkpoint=path, on_iteration=resumed.append)
    assert (resumed[0].iteration, result.weights_digest) == (5, whole.weights_digest)
    assert (result.episode_rewards, result.evaluation) == (whole.episode_rewards, whole.evaluation)
    assert result.curve["episodes"] == whole.curve["episodes"]
    assert result.curve["held_out"]["x"] == [5, 6, 7, 8]


def test_a_checkpoint_without_newer_settings_is_resumed(tmp_path, whole):
    path, resumed = tmp_path / "run", list[Iteration]()
    train(CONFIG, MARKET, checkpoint=path, should_stop=stop_after(4))
    tensors, state = load_checkpoint(path)
    config = state["identity"]["config"]
    del config["seeds"], config["market"]["format"], config["market"]["bad_rows"], config["market"]["columns"]
    save_checkpoint(path, tensors, state)
    previous(path).unlink()
    assert same(train(CONFIG, MARKET, checkpoint=path, on_iteration=resumed.append), whole)
    assert resumed[0].iteration == 5


@pytest.mark.parametrize("field", ["epochs", "removed_setting"])
def test_a_checkpoint_of_other_settings_is_not_resumed(tmp_path, whole, field):
    path, seen = tmp_path / "run", list[Iteration]()
    train(CONFIG, MARKET, checkpoint=path, should_stop=stop_after(4))
    tensors, state = load_checkpoint(path)
    state["identity"]["config"]["ppo"][field] = 9
    save_checkpoint(path, tensors, state)
    previous(path).unlink()
    assert same(train(CONFIG, MARKET, checkpoint=path, on_iteration=seen.append), whole)
    assert seen[0].iteration == 1


def test_evaluation_reports_progress():
    calls: list[int] = []
    train(CONFIG, MARKET, while_evaluating=lambda: calls.append(1))
    assert calls
