import numpy as np
import pytest
import torch

from rl_training.core.ppo.normalisation import ObservationNormaliser, RewardScaler, RunningStatistics


def test_merged_batches_give_the_statistics_of_all_rows():
    rows = np.random.default_rng(0).normal(1e4, [1.0, 5.0], size=(1000, 2))
    statistics = RunningStatistics(2)
    for batch in np.split(rows, [1, 1, 10, 700]):
        statistics.update(batch)
    np.testing.assert_allclose(statistics.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics.variance, rows.var(axis=0), rtol=1e-9)
    assert statistics.count == 1000


def test_observations_are_standardised_and_clipped():
    normaliser = ObservationNormaliser(2)
    given = torch.tensor([[3.0, -2.0]])
    assert normaliser(given).tolist() == [[3.0, -2.0]]
    normaliser.update(np.array([[1.0, 0.0], [3.0, 4.0]], dtype=np.float32))
    assert normaliser(torch.tensor([[3.0, 0.0], [100.0, 2.0]])).tolist() == [pytest.approx([1, -1]), [10.0, 0.0]]


def test_rewards_are_divided_by_the_deviation_of_discounted_returns():
    scaler = RewardScaler(RunningStatistics(1), num_envs=1, gamma=0.5)
    rewards = np.array([[1.0], [2.0], [-4.0], [6.0]])
    ended = np.array([[False], [False], [True], [False]])
    scaled = scaler(rewards, ended, np.ones_like(ended))
    returns = [1.0, 2.5, -2.75, 6.0]
    np.testing.assert_allclose(scaled, rewards / np.std(returns), rtol=1e-9)
    assert scaler.returns.tolist() == [6.0]


def test_restarting_steps_do_not_enter_the_reward_statistics():
    scaler = RewardScaler(RunningStatistics(1), num_envs=1, gamma=0.5)
    rewards = np.array([[1.0], [0.0], [3.0]])
    scaler(rewards, np.array([[True], [False], [False]]), np.array([[True], [False], [True]]))
    assert scaler.statistics.count == 2
    assert scaler.statistics.mean.tolist() == [2.0]
