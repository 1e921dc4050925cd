import dataclasses

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from rl_training.core.ppo.compute import CompiledCompute, TorchCompute
from rl_training.core.ppo.ppo import PPO
from tests.core.ppo.ppo_cases import NORMALISING, PROBE, signed_action
from tests.counting import Probe, counters


def test_every_autoreset_mode_gives_the_same_advantages():
    config = PROBE.model_copy(update={"num_envs": 2, "gamma": 0.9, "rollout_length": 20})
    found = []
    for mode in AutoresetMode:
        ppo = PPO(counters(mode, [(4, True), (4, False)]), config, seed=1)
        ppo.sampler.reset(seed=1)
        rollout = ppo.collect(20)
        batch, _ = ppo.estimate(rollout)
        assert len(batch) == rollout.valid.sum()
        # All modes share the 16 steps of each environment's first 4 episodes; the observations differ between steps.
        envs = np.broadcast_to([0, 1], rollout.valid.shape)[rollout.valid]
        rows = [np.flatnonzero(envs == env)[:16] for env in (0, 1)]
        found.append([torch.stack([batch.advantages[row], batch.returns[row]]) for row in rows])
    for env in (0, 1):
        torch.testing.assert_close(found[0][env], found[1][env], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found[0][env], found[2][env], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(found[0][0], found[0][1])


@pytest.mark.parametrize("config", [PROBE, NORMALISING])
@pytest.mark.parametrize("compute", [CompiledCompute, TorchCompute])
def test_ratio_is_1_before_the_first_gradient_step(config, compute):
    ppo = PPO(Probe(signed_action, length=5), config, seed=1)
    ppo.learn(3 * 256)
    batch, _ = ppo.estimate(ppo.collect(16))
    # With so narrow a range, any ratio that differs from 1 counts as clipped.
    narrow = config.model_copy(update={"clip_range": 1e-6})
    threads = [2] if compute is CompiledCompute else []
    gradient = compute(ppo.policy.network, ppo.parameters, narrow, *threads).gradient(batch)
    approx_kl, clip_fraction = gradient(torch.randperm(len(batch))[:64])[-2:]
    assert abs(approx_kl) <= 1e-7
    assert clip_fraction == 0


def test_each_update_starts_from_the_policy_that_collected():
    config = NORMALISING.model_copy(update={"epochs": 1, "minibatch_size": 256})
    first_minibatches = []
    PPO(Probe(signed_action, length=5), config, seed=1).learn(
        5 * 256, lambda iteration: first_minibatches.append(abs(iteration.metrics["train/approx_kl"]))
    )
    assert len(first_minibatches) == 5
    assert max(first_minibatches) <= 1e-7


def test_total_steps_are_rounded_up_to_a_multiple_of_num_envs():
    lengths, timesteps, rates = [], [], []

    def record(iteration):
        lengths.append(iteration.rewards.shape)
        timesteps.append(iteration.timesteps)
        rates.append(iteration.metrics["train/learning_rate"])

    PPO(Probe(lambda sign, step, action: 1.0), PROBE, seed=1).learn(600, record)
    assert lengths == [(16, 16), (16, 16), (6, 16)]
    assert timesteps == [256, 512, 608]
    assert rates == pytest.approx([1e-2, 1e-2 * (1 - 256 / 600), 1e-2 * (1 - 512 / 600)])


def test_metrics_are_named_as_in_stable_baselines3():
    found = []
    PPO(Probe(lambda sign, step, action: 1.0, length=2), PROBE, seed=1).learn(256, lambda i: found.append(i.metrics))
    assert set(found[0]) == {
        "rollout/ep_rew_mean",
        "rollout/ep_len_mean",
        "time/fps",
        "train/approx_kl",
        "train/clip_fraction",
        "train/entropy_loss",
        "train/explained_variance",
        "train/learning_rate",
        "train/policy_gradient_loss",
        "train/value_loss",
    }
    assert found[0]["rollout/ep_rew_mean"] == 2.0
    assert found[0]["train/entropy_loss"] == pytest.approx(-0.69, abs=0.02)


def test_rollout_of_restarts_only_makes_no_gradient_step():
    config = PROBE.model_copy(update={"num_envs": 2, "rollout_length": 1, "minibatch_size": 2})
    metrics = []
    PPO(counters(AutoresetMode.NEXT_STEP, [(1, True)] * 2), config, seed=1).learn(
        4, lambda i: metrics.append(i.metrics)
    )
    assert ["train/value_loss" in found for found in metrics] == [True, False]


def test_learning_ends_when_on_iteration_returns_false():
    seen = []

    def end_after_three(iteration):
        seen.append(iteration.iteration)
        return iteration.iteration < 3

    PPO(Probe(lambda sign, step, action: 1.0), PROBE, seed=1).learn(10_000, end_after_three)
    assert seen == [1, 2, 3]


def test_step_past_target_kl_leaves_all_weights_unchanged():
    ppo = PPO(Probe(lambda sign, step, action: action), PROBE.model_copy(update={"target_kl": 0.01}), seed=1)
    ppo.sampler.reset(seed=1)
    batch, _ = ppo.estimate(ppo.collect(16))
    before = ppo.parameters.values.clone()
    moved = dataclasses.replace(batch, log_probs=batch.log_probs - 1)
    rows = torch.arange(len(batch))
    assert not ppo.step(ppo.compute.gradient(moved), rows, 1e-2, [])
    assert torch.equal(ppo.parameters.values, before)
    assert ppo.step(ppo.compute.gradient(batch), rows, 1e-2, [])
    assert not torch.equal(ppo.parameters.values, before)
