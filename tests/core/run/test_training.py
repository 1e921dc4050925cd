import numpy as np
import pytest
import structlog
import torch

from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.market.bars import MarketData, MarketDataError, split_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.run.checkpoint import load_policy, tensor_digest
from rl_training.core.run.training import PolicyMismatchError, check_fits, train
from rl_training.core.trading.features import FeatureStatistics

# 5 episodes of 24 steps in 4 environments: 7 iterations of 16 steps in each, and one of 8.
CONFIG = TrainingConfig(
    market=MarketConfig(train_fraction=0.7),
    environment=EnvironmentConfig(episode_length=24, features=["log_return_1"]),
    ppo=PPOConfig(num_envs=4, rollout_length=16, minibatch_size=32, hidden_sizes=[8], normalize_observations=True),
    episodes=5,
    seed=7,
)


def bars(count):
    close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, count)))
    opened = np.concatenate([[100.0], close[:-1]])
    return MarketData(
        timestamp=np.datetime64("2020-01-01T00:00:00") + np.arange(count) * np.timedelta64(3600, "s"),
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.ones(count),
    )


MARKET = bars(300)


def changed(config, **settings):
    """The config with `ppo__gamma=0.5` and the like."""
    values = config.model_dump()
    for name, value in settings.items():
        *sections, field = name.split("__")
        part = values
        for section in sections:
            part = part[section]
        part[field] = value
    return TrainingConfig.model_validate(values)


@pytest.fixture(scope="module")
def whole():
    return train(CONFIG, MARKET)


def same(result, other):
    compared = ("stopped", "episode_rewards", "avg_policy_loss", "avg_value_loss", "weights_digest", "evaluation")
    return all(getattr(result, name) == getattr(other, name) for name in compared)


def test_a_run_makes_its_episodes_and_reports_each():
    seen, rewards = [], []
    result = train(
        CONFIG, MARKET, on_progress=seen.append, on_iteration=lambda iteration: rewards.append(iteration.rewards)
    )
    assert [(progress.episode, progress.episodes) for progress in seen] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert [progress.environment_steps for progress in seen] == [96, 192, 288, 384, 480]
    assert [len(block) for block in rewards] == [16] * 7 + [8]
    by_episode = np.concatenate(rewards).reshape(5, 24, 4).sum(axis=1).mean(axis=1)
    assert result.episode_rewards == pytest.approx(by_episode.tolist(), abs=1e-12)
    assert [progress.episode_reward for progress in seen] == result.episode_rewards
    assert seen[2].avg_reward == pytest.approx(by_episode[:3].mean(), abs=1e-12)
    assert result.avg_reward == pytest.approx(by_episode.mean(), abs=1e-12)
    assert result.final_reward == result.episode_rewards[-1]
    assert (result.environment_steps, result.stopped) == (480, False)
    assert (seen[-1].policy_loss, seen[-1].value_loss) == (result.avg_policy_loss, result.avg_value_loss)


def test_statistics_are_of_the_training_bars_alone(whole):
    assert whole.statistics == FeatureStatistics.fit(split_market(MARKET, 0.7)[0], CONFIG.environment)
    assert whole.market_summary == {
        "name": "sp500",
        "digest": MARKET.digest,
        "first": "2020-01-01T00:00:00+00:00",
        "last": "2020-01-13T11:00:00+00:00",
        "bars": 300,
        "gaps": 0,
    }
    assert whole.evaluation.bars == 88  # of 90, after one bar's window, up to the last but one


def test_the_same_seed_gives_the_same_run_to_the_bit(whole):
    assert same(train(CONFIG, MARKET), whole)
    assert whole.weights_digest == tensor_digest(whole.policy.tensors())
    assert train(changed(CONFIG, seed=8), MARKET).weights_digest != whole.weights_digest


class Killed(Exception):
    pass


@pytest.mark.parametrize("iteration", range(1, 9))
def test_killed_in_any_iteration_and_resumed_it_ends_as_if_never_killed(tmp_path, whole, iteration):
    def kill(seen):
        if seen.iteration == iteration:
            raise Killed

    with pytest.raises(Killed):
        train(CONFIG, MARKET, checkpoint=tmp_path / "run", on_iteration=kill, checkpoint_seconds=0)
    assert (tmp_path / "run").exists() == (iteration > 1)
    resumed, seen = [], []
    result = train(CONFIG, MARKET, checkpoint=tmp_path / "run", on_iteration=resumed.append, on_progress=seen.append)
    assert resumed[0].iteration == iteration
    assert seen[-1].episode == 5
    assert same(result, whole)


@pytest.mark.parametrize("iteration", [1, 4, 7])
def test_stopped_and_resumed_it_ends_as_if_never_stopped(tmp_path, whole, iteration):
    asked = []
    first = train(
        CONFIG,
        MARKET,
        checkpoint=tmp_path / "run",
        should_stop=lambda: asked.append(1) or len(asked) == iteration,
    )
    assert first.stopped
    assert first.environment_steps == 64 * iteration
    assert first.episode_rewards == whole.episode_rewards[: 64 * iteration // 96]
    with pytest.raises(RuntimeError, match="stopped has no evaluation"):
        _ = first.evaluation
    assert same(train(CONFIG, MARKET, checkpoint=tmp_path / "run"), whole)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_cuda_too_a_stopped_run_ends_as_if_never_stopped(tmp_path):
    on_cuda = changed(CONFIG, ppo__device="cuda")
    train(on_cuda, MARKET, checkpoint=tmp_path / "run", should_stop=stop_at_once)
    assert same(train(on_cuda, MARKET, checkpoint=tmp_path / "run"), train(on_cuda, MARKET))


def test_asked_to_stop_after_the_last_iteration_it_is_finished(whole):
    asked = []
    assert same(train(CONFIG, MARKET, should_stop=lambda: asked.append(1) or len(asked) == 8), whole)


def stop_at_once():
    return True


def test_a_damaged_checkpoint_is_said_and_the_run_starts_from_the_beginning(tmp_path, whole):
    path = tmp_path / "run"
    train(CONFIG, MARKET, checkpoint=path, should_stop=stop_at_once)
    path.write_bytes(path.read_bytes()[:-1])
    with structlog.testing.capture_logs() as logs:
        assert same(train(CONFIG, MARKET, checkpoint=path), whole)
    assert logs[0]["event"] == "Checkpoint cannot be used"
    assert logs[0]["log_level"] == "warning"
    assert "run: damaged" in logs[0]["error"]


def test_in_place_of_a_damaged_checkpoint_the_one_before_is_used(tmp_path, whole):
    def kill(seen):
        if seen.iteration == 5:
            raise Killed

    path = tmp_path / "run"
    with pytest.raises(Killed):
        train(CONFIG, MARKET, checkpoint=path, on_iteration=kill, checkpoint_seconds=0)
    path.write_bytes(path.read_bytes()[:-1])
    resumed = []
    assert same(train(CONFIG, MARKET, checkpoint=path, on_iteration=resumed.append), whole)
    assert resumed[0].iteration == 4


def test_the_checkpoint_of_an_earlier_attempt_is_read_and_not_written(tmp_path, whole):
    first, second = tmp_path / "run-1", tmp_path / "run-2"
    train(CONFIG, MARKET, checkpoint=first, should_stop=stop_at_once)
    before = first.read_bytes()
    resumed = []
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
def test_a_checkpoint_of_another_run_is_said_and_not_used(tmp_path, whole, other):
    train(changed(CONFIG, **other), MARKET, checkpoint=tmp_path / "run", should_stop=stop_at_once)
    with structlog.testing.capture_logs() as logs:
        assert same(train(CONFIG, MARKET, checkpoint=tmp_path / "run"), whole)
    assert logs[0]["event"] == "Checkpoint is of another run"


def test_a_checkpoint_on_other_bars_is_not_used(tmp_path, whole):
    train(CONFIG, bars(301), checkpoint=tmp_path / "run", should_stop=stop_at_once)
    assert same(train(CONFIG, MARKET, checkpoint=tmp_path / "run"), whole)


def test_a_saved_policy_decides_as_the_trained_one_did(tmp_path, whole):
    digest = whole.save(tmp_path / "policy", run_id="4f1c09ab77de")
    saved = load_policy(tmp_path / "policy")
    observations = np.random.default_rng(0).normal(size=(50, 4))
    assert saved.predict(observations).tolist() == whole.policy.predict(observations).tolist()
    assert (digest, saved.digest) == (whole.weights_digest, whole.weights_digest)
    assert (saved.statistics, saved.environment) == (whole.statistics, CONFIG.environment)
    assert saved.manifest["metadata"]["market"] == whole.market_summary
    assert saved.manifest["metadata"]["evaluation"] == whole.evaluation.as_dict()
    assert saved.manifest["metadata"]["run_id"] == "4f1c09ab77de"


def test_training_goes_on_from_the_initial_policy(tmp_path, whole):
    whole.save(tmp_path / "policy")
    initial = load_policy(tmp_path / "policy")
    still = changed(CONFIG, ppo__learning_rate=1e-12, seed=9)
    result = train(still, MARKET, initial_policy=initial)
    before, after = whole.policy.tensors(), result.policy.tensors()
    for name, tensor in before.items():
        if name.startswith("network."):
            torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-8)
    assert before["observations.count"].item() == 480
    assert after["observations.count"].item() == 960
    assert train(still, MARKET).weights_digest != result.weights_digest


def test_a_checkpoint_that_began_from_another_policy_is_not_used(tmp_path, whole):
    whole.save(tmp_path / "policy")
    initial = load_policy(tmp_path / "policy")
    train(CONFIG, MARKET, initial_policy=initial, checkpoint=tmp_path / "run", should_stop=stop_at_once)
    assert same(train(CONFIG, MARKET, checkpoint=tmp_path / "run"), whole)
    train(CONFIG, MARKET, initial_policy=initial, checkpoint=tmp_path / "run", should_stop=stop_at_once)
    resumed = train(CONFIG, MARKET, initial_policy=initial, checkpoint=tmp_path / "run")
    assert same(resumed, train(CONFIG, MARKET, initial_policy=initial))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"ppo__hidden_sizes": [8, 8]}, r"hidden_sizes: the policy's \[8\], the config's \[8, 8\]"),
        ({"environment__positions": [0.0, 1.0]}, r"positions: the policy's \[-1.0, 0.0, 1.0\], the config's \[0.0"),
        ({"environment__features": ["rsi_14"]}, "features: the policy's .*rsi_14"),
        ({"ppo__normalize_observations": False}, "normalize_observations: the policy's True, the config's False"),
        ({"ppo__normalize_rewards": False}, "normalize_rewards"),
    ],
)
def test_an_initial_policy_that_does_not_fit_is_refused(tmp_path, whole, other, named):
    whole.save(tmp_path / "policy")
    initial = load_policy(tmp_path / "policy")
    check_fits(initial, changed(CONFIG, ppo__gamma=0.5, environment__fee=0.01), MARKET)
    with pytest.raises(PolicyMismatchError, match=named):
        train(changed(CONFIG, **other), MARKET, initial_policy=initial)


def test_no_policy_is_evaluated_on_bars_that_it_was_trained_on_before(tmp_path, whole):
    whole.save(tmp_path / "policy")
    initial = load_policy(tmp_path / "policy")
    assert initial.trained_until == MARKET.timestamp[209]
    check_fits(initial, changed(CONFIG, market__train_fraction=0.75), MARKET)
    until = r"bars: the policy was trained until 2020-01-09T17:00:00, evaluated is from 2020-01-07T06:00:00 on"
    with pytest.raises(PolicyMismatchError, match=until):
        train(changed(CONFIG, market__train_fraction=0.5), MARKET, initial_policy=initial)


@pytest.mark.parametrize(
    ("count", "fraction", "named"),
    [
        (36, 0.7, "sp500: 25 of the 36 bars are to train on, but at least 26 .* about 38 bars in all"),
        (40, 0.95, "sp500: 2 of the 40 bars are to evaluate on, but at least 3 .* about 60 bars in all"),
        (1, 0.5, "leave 0"),
    ],
)
def test_too_few_bars_are_refused_before_anything_is_trained(count, fraction, named):
    config = changed(CONFIG, market__train_fraction=fraction)
    seen = []
    with pytest.raises(MarketDataError, match=named):
        train(config, bars(count), on_iteration=seen.append)
    assert not seen


def test_torch_has_threads_only_for_networks_whose_products_are_left_to_it(whole):
    assert torch.get_num_threads() == 1
    large = changed(CONFIG, ppo__hidden_sizes=[1024, 1024], ppo__device="cpu", ppo__epochs=1, episodes=1)
    train(large, MARKET, threads=2, should_stop=stop_at_once)
    assert torch.get_num_threads() == 2
    train(CONFIG, MARKET, threads=2, should_stop=stop_at_once)
    assert torch.get_num_threads() == 1
