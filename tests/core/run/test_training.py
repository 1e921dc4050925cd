import numpy as np
import pytest
import torch

from rl_training.core.evaluation.evaluation import evaluate
from rl_training.core.evaluation.references import best_targets
from rl_training.core.market.bars import MarketDataError, split_market
from rl_training.core.market.planted import planted_market
from rl_training.core.ppo.ppo import Iteration
from rl_training.core.run.checkpoint import load_policy, tensor_digest
from rl_training.core.run.progress import Progress
from rl_training.core.run.training import train
from rl_training.core.trading.features import FeatureStatistics
from tests.core.evaluation.test_evaluation import Always
from tests.core.run.small_run import CONFIG, MARKET, bars, changed, same, stop_after


def test_a_run_reports_each_episode():
    seen: list[Progress] = []
    rewards: list[np.ndarray] = []
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


def test_statistics_come_from_the_training_bars_alone(whole):
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


def test_a_saved_policy_decides_like_the_trained_one(tmp_path, whole):
    digest = whole.save(tmp_path / "policy", run_id="4f1c09ab77de")
    saved = load_policy(tmp_path / "policy")
    observations = np.random.default_rng(0).normal(size=(50, 4))
    assert saved.predict(observations).tolist() == whole.policy.predict(observations).tolist()
    assert (digest, saved.digest) == (whole.weights_digest, whole.weights_digest)
    assert (saved.statistics, saved.environment) == (whole.statistics, CONFIG.environment)
    assert saved.manifest["metadata"]["market"] == whole.market_summary
    assert saved.manifest["metadata"]["evaluation"] == whole.evaluation.as_dict()
    assert saved.manifest["metadata"]["run_id"] == "4f1c09ab77de"


@pytest.mark.parametrize(
    ("count", "fraction", "named"),
    [
        (36, 0.7, "sp500: 25 of the 36 bars are to train on, but at least 26 .* about 38 bars in all"),
        (40, 0.95, "sp500: 2 of the 40 bars are to evaluate on, but at least 3 .* about 60 bars in all"),
        (5, 0.95, "4 of the 5 bars are to train on, .*; 1 of the 5 bars are to evaluate on, .* about 60 bars in all"),
        (1, 0.5, "leave 0"),
        (25, 1.0, "25 of the 25 bars are to train on, but at least 26 .* about 26 bars in all"),
    ],
)
def test_too_few_bars_are_refused_before_training(count, fraction, named):
    config = changed(CONFIG, market__train_fraction=fraction)
    seen: list[Iteration] = []
    with pytest.raises(MarketDataError, match=named):
        train(config, bars(count), on_iteration=seen.append)
    assert not seen


def test_run_on_all_bars_has_no_evaluation(tmp_path):
    result = train(changed(CONFIG, market__train_fraction=1.0), MARKET)
    assert not result.stopped
    assert result.evaluation_or_none is None
    assert result.trained_until == MARKET.timestamp[-1]
    assert result.statistics == FeatureStatistics.fit(MARKET, CONFIG.environment)
    result.save(tmp_path / "policy")
    assert load_policy(tmp_path / "policy").manifest["metadata"]["evaluation"] == {}
    with pytest.raises(RuntimeError, match="no held-out bars, has no evaluation"):
        _ = result.evaluation


def test_run_on_a_planted_market_is_compared_with_the_best_rule():
    config = changed(CONFIG, market__source="planted", market__bars=3000, market__planted_kind="regime", episodes=1)
    market = planted_market(config.market)
    found = train(config, market).evaluation
    best = best_targets(config.market, market, config.environment, 2101)
    assert best is not None
    later = market[2100:]
    statistics = FeatureStatistics.fit(market[:2100], config.environment)
    again = evaluate(Always(1), later, config.environment, statistics=statistics, best=best[2100:])
    assert found.best_possible == again.best_possible
    assert found.best_possible is not None
    assert found.best_possible.total_return > found.last_return_followed.total_return


def test_torch_has_several_threads_only_for_large_networks(whole):
    assert torch.get_num_threads() == 1
    large = changed(CONFIG, ppo__hidden_sizes=[1024, 1024], ppo__device="cpu", ppo__epochs=1, episodes=1)
    train(large, MARKET, threads=2, should_stop=stop_after(1))
    assert torch.get_num_threads() == 2
    train(CONFIG, MARKET, threads=2, should_stop=stop_after(1))
    assert torch.get_num_threads() == 1
