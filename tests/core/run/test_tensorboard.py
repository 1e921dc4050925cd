import importlib.util

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rl_training.core.ppo.ppo import Iteration
from rl_training.core.run.training import train
from tests.core.run.small_run import CONFIG, MARKET, changed


def logged(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_every_iteration_is_logged_with_its_environment_steps(tmp_path):
    iterations: list[Iteration] = []
    train(CONFIG, MARKET, log_dir=tmp_path, on_iteration=iterations.append)
    events = logged(tmp_path)
    assert {"train/approx_kl", "train/explained_variance", "rollout/ep_rew_mean", "time/fps"} <= set(
        events.Tags()["scalars"]
    )
    held_out = events.Scalars("eval/held_out_reward")
    assert [event.step for event in held_out] == [64, 128, 192, 256, 320, 384, 448, 480]
    kl = events.Scalars("train/approx_kl")
    assert [event.step for event in kl] == [64, 128, 192, 256, 320, 384, 448, 480]
    expected = [iteration.metrics["train/approx_kl"] for iteration in iterations]
    assert [event.value for event in kl] == pytest.approx(expected, rel=1e-6)


def test_members_are_logged_on_one_axis(tmp_path):
    train(changed(CONFIG, episodes=2, seeds=2), MARKET, log_dir=tmp_path)
    for name in ("train/approx_kl", "eval/training_reward", "eval/held_out_reward"):
        assert [event.step for event in logged(tmp_path).Scalars(name)] == [64, 128, 192, 256, 320, 384]


def test_a_resumed_run_logs_each_iteration_once(tmp_path):
    log, checkpoint = tmp_path / "log", tmp_path / "checkpoint"
    made: list[Iteration] = []
    train(
        CONFIG,
        MARKET,
        log_dir=log,
        checkpoint=checkpoint,
        on_iteration=made.append,
        should_stop=lambda: len(made) == 3,
    )
    train(CONFIG, MARKET, log_dir=log, checkpoint=checkpoint)
    assert len(list(log.iterdir())) == 2
    # TensorBoard reads the files by name, and two of one second are named by a counter: 10 comes before 9.
    steps = sorted(event.step for event in logged(log).Scalars("train/approx_kl"))
    assert steps == [64, 128, 192, 256, 320, 384, 448, 480]


def test_logging_does_not_alter_the_weights(tmp_path):
    assert train(CONFIG, MARKET, log_dir=tmp_path).weights_digest == train(CONFIG, MARKET).weights_digest


def test_without_tensorboard_training_works_and_logs_nothing(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else found(name))
    assert not train(CONFIG, MARKET, log_dir=tmp_path).stopped
    assert list(tmp_path.iterdir()) == []
