import copy
import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode

from rl_training.core.config import PPOConfig
from rl_training.core.ppo.compute import CompiledCompute, TorchCompute
from rl_training.core.ppo.ppo import PPO, DivergedError, choose_device
from tests.counting import Probe, counters

torch.set_num_threads(1)

PROBE = PPOConfig(
    num_envs=16,
    rollout_length=16,
    minibatch_size=64,
    learning_rate=1e-2,
    gamma=0.5,
    hidden_sizes=[16],
    normalize_rewards=False,
    device="cpu",
)
NORMALISING = PROBE.model_copy(update={"normalize_observations": True, "normalize_rewards": True, "gamma": 0.9})
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
ON_CUDA = pytest.param(NORMALISING.model_copy(update={"device": "cuda"}), marks=needs_cuda)


def solve(reward, length=1, steps=10_000):
    ppo = PPO(Probe(reward, length), PROBE, seed=1)
    ppo.learn(steps)
    return ppo


def values(ppo, observations):
    with torch.no_grad():
        return ppo.policy.network.values(torch.tensor(observations, dtype=torch.float32)).tolist()


def test_probe_1_the_critic_learns_a_constant():
    ppo = solve(lambda sign, step, action: 1.0)
    assert values(ppo, [[-1, 0], [1, 0]]) == pytest.approx([1.0, 1.0], abs=0.02)


def test_probe_2_the_critic_learns_to_read_the_observation():
    ppo = solve(lambda sign, step, action: sign)
    assert values(ppo, [[-1, 0], [1, 0]]) == pytest.approx([-1.0, 1.0], abs=0.02)


def test_probe_3_a_delayed_reward_is_discounted():
    ppo = solve(lambda sign, step, action: step == 1, length=2)
    assert values(ppo, [[1, 0], [1, 1]]) == pytest.approx([0.5, 1.0], abs=0.03)


def test_probe_4_the_actor_learns_the_better_action():
    ppo = solve(lambda sign, step, action: action)
    assert ppo.predict([[-1, 0], [1, 0]]).tolist() == [0, 0]
    assert values(ppo, [[-1, 0], [1, 0]]) == pytest.approx([1.0, 1.0], abs=0.05)


def test_probe_5_the_actor_learns_the_action_that_fits_the_observation():
    ppo = solve(lambda sign, step, action: action * sign)
    assert ppo.predict([[-1, 0], [1, 0]]).tolist() == [-1, 0]
    assert values(ppo, [[-1, 0], [1, 0]]) == pytest.approx([1.0, 1.0], abs=0.05)


class NothingShown(gymnasium.vector.VectorWrapper):
    """Hides all that would tell how long the episode still is."""

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return np.ones_like(observation), info

    def step(self, actions):
        observation, *rest, info = self.env.step(actions)
        info = {name: [np.ones(2)] * self.num_envs if name == "final_obs" else value for name, value in info.items()}
        return np.ones_like(observation), *rest, {**info, "final_obs": np.ones((self.num_envs, 2))}


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("length", [1, 7, 100])
def test_a_time_limit_leaves_the_value_of_reward_1_for_ever(mode, length):
    config = PPOConfig(
        num_envs=4,
        rollout_length=32,
        minibatch_size=64,
        learning_rate=0.1,
        gamma=0.9,
        hidden_sizes=[8],
        normalize_rewards=False,
        device="cpu",
    )
    ppo = PPO(NothingShown(counters(mode, [(length, True)] * 4)), config, seed=1)
    ppo.learn(128 * 50)
    assert values(ppo, [[1, 1]]) == pytest.approx([10.0], rel=0.02)


def test_every_autoreset_mode_gives_the_same_advantages():
    config = PROBE.model_copy(update={"num_envs": 2, "gamma": 0.9, "rollout_length": 20})
    found = []
    for mode in AutoresetMode:
        ppo = PPO(counters(mode, [(4, True), (4, False)]), config, seed=1)
        ppo.sampler.reset(seed=1)
        rollout = ppo.collect(20)
        batch, _ = ppo.estimate(rollout)
        assert len(batch) == rollout.valid.sum()
        # Of the 16 steps of either environment's first 4 episodes: observations differ from step to step.
        envs = np.broadcast_to([0, 1], rollout.valid.shape)[rollout.valid]
        rows = [np.flatnonzero(envs == env)[:16] for env in (0, 1)]
        found.append([torch.stack([batch.advantages[row], batch.returns[row]]) for row in rows])
    for env in (0, 1):
        torch.testing.assert_close(found[0][env], found[1][env], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found[0][env], found[2][env], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(found[0][0], found[0][1])


@pytest.mark.parametrize("config", [PROBE, NORMALISING])
@pytest.mark.parametrize("compute", [CompiledCompute, TorchCompute])
def test_before_the_first_step_the_ratio_is_1(config, compute):
    ppo = PPO(Probe(lambda sign, step, action: action * sign, length=5), config, seed=1)
    ppo.learn(3 * 256)
    batch, _ = ppo.estimate(ppo.collect(16))
    # Any ratio further from 1 than that counts as clipped.
    narrow = config.model_copy(update={"clip_range": 1e-6})
    threads = [2] if compute is CompiledCompute else []
    gradient = compute(ppo.policy.network, ppo.parameters, narrow, *threads).gradient(batch)
    approx_kl, clip_fraction = gradient(torch.randperm(len(batch))[:64])[-2:]
    assert abs(approx_kl) <= 1e-7
    assert clip_fraction == 0


def test_learning_begins_each_update_with_the_policy_that_collected():
    config = NORMALISING.model_copy(update={"epochs": 1, "minibatch_size": 256})
    first_minibatches = []
    PPO(Probe(lambda sign, step, action: action * sign, length=5), config, seed=1).learn(
        5 * 256, lambda iteration: first_minibatches.append(abs(iteration.metrics["train/approx_kl"]))
    )
    assert len(first_minibatches) == 5
    assert max(first_minibatches) <= 1e-7


def test_the_steps_made_are_the_total_rounded_up_to_the_environments():
    lengths, timesteps, rates = [], [], []

    def record(iteration):
        lengths.append(iteration.rewards.shape)
        timesteps.append(iteration.timesteps)
        rates.append(iteration.metrics["train/learning_rate"])

    PPO(Probe(lambda sign, step, action: 1.0), PROBE, seed=1).learn(600, record)
    assert lengths == [(16, 16), (16, 16), (6, 16)]
    assert timesteps == [256, 512, 608]
    assert rates == pytest.approx([1e-2, 1e-2 * (1 - 256 / 600), 1e-2 * (1 - 512 / 600)])


def test_metrics_have_the_names_that_users_of_stable_baselines3_know():
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


def test_a_rollout_of_nothing_but_restarts_teaches_nothing():
    config = PROBE.model_copy(update={"num_envs": 2, "rollout_length": 1, "minibatch_size": 2})
    metrics = []
    PPO(counters(AutoresetMode.NEXT_STEP, [(1, True)] * 2), config, seed=1).learn(
        4, lambda i: metrics.append(i.metrics)
    )
    assert ["train/value_loss" in found for found in metrics] == [True, False]


def test_learning_ends_where_the_caller_says_so():
    seen = []
    ppo = PPO(Probe(lambda sign, step, action: 1.0), PROBE, seed=1)
    ppo.learn(10_000, lambda iteration: seen.append(iteration.iteration) or iteration.iteration < 3)
    assert seen == [1, 2, 3]


def test_past_the_target_kl_neither_loss_moves_the_weights():
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


def trained(config, seed, steps=1280, reward=lambda sign, step, action: action * sign):
    ppo = PPO(Probe(reward, length=5), config, seed)
    ppo.learn(steps)
    return ppo


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("config", [PROBE, NORMALISING, ON_CUDA])
def test_the_same_seed_gives_the_same_weights_to_the_bit(config):
    first = trained(config, seed=7).state_dict()
    assert same(first, trained(config, seed=7).state_dict())
    assert not same(first, trained(config, seed=8).state_dict())


def test_global_random_state_is_neither_used_nor_altered():
    torch.manual_seed(1)
    np.random.seed(1)
    first = trained(PROBE, seed=7).state_dict()
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    assert (torch.rand(1), np.random.rand()) == drawn
    assert same(first, trained(PROBE, seed=7).state_dict())


@pytest.mark.parametrize("config", [PROBE, NORMALISING, ON_CUDA])
@pytest.mark.parametrize("stopped_after", [1, 2, 3, 4])
def test_stopped_after_any_iteration_and_resumed_it_ends_as_if_never_stopped(config, stopped_after):
    whole = trained(config, seed=7).state_dict()

    env = Probe(lambda sign, step, action: action * sign, length=5)
    first = PPO(env, config, seed=7)
    first.learn(1280, lambda iteration: iteration.iteration < stopped_after)
    state, env_as_it_was = first.state_dict(), copy.deepcopy(env)
    first.learn(1280)
    assert same(first.state_dict(), whole)

    resumed = PPO(env_as_it_was, config, seed=99)
    resumed.load_state_dict(state)
    resumed.learn(1280)
    assert same(resumed.state_dict(), whole)


def test_a_state_taken_before_the_first_step_can_be_resumed():
    resumed = PPO(Probe(lambda sign, step, action: action * sign, length=5), NORMALISING, seed=99)
    resumed.load_state_dict(PPO(Probe(lambda sign, step, action: 0.0), NORMALISING, seed=7).state_dict())
    resumed.learn(1280)
    assert same(resumed.state_dict(), trained(NORMALISING, seed=7).state_dict())


def test_training_goes_on_from_another_policy_with_its_statistics():
    first = trained(NORMALISING, seed=7)
    second = PPO(Probe(lambda sign, step, action: action * sign), NORMALISING, seed=8)
    second.start_from(first.policy)
    assert same(second.policy.tensors(), first.policy.tensors())
    assert second.scaler.statistics.count == 1280
    third = PPO(Probe(lambda sign, step, action: 0.0), NORMALISING.model_copy(update={"hidden_sizes": [8]}), seed=8)
    with pytest.raises(ValueError, match=r"network\.actor\.weights\.0"):
        third.start_from(first.policy)


def test_asking_for_random_actions_does_not_alter_training():
    asked = PPO(Probe(lambda sign, step, action: action * sign, length=5), PROBE, seed=7)
    drawn = asked.predict(np.zeros((100, 2)), deterministic=False)
    asked.learn(1280)
    assert set(drawn.tolist()) == {-1, 0}
    assert same(asked.policy.tensors(), trained(PROBE, seed=7).policy.tensors())


@pytest.mark.parametrize(("reward", "named"), [(np.nan, "iteration 1: reward"), (1e25, "iteration 1: train/")])
def test_what_is_not_finite_is_named(reward, named):
    with pytest.raises(DivergedError, match=named):
        trained(PROBE, seed=1, reward=lambda sign, step, action: reward)


class Shown(gymnasium.vector.VectorWrapper):
    """Shows `transform` of the observation in its place."""

    def __init__(self, env, transform):
        super().__init__(env)
        self.transform = transform

    def reset(self, **options):
        observation, info = self.env.reset(**options)
        return self.transform(observation), info

    def step(self, actions):
        observation, *rest = self.env.step(actions)
        return self.transform(observation), *rest


def test_an_observation_that_is_not_finite_is_named():
    env = Shown(Probe(lambda sign, step, action: 0.0), lambda observation: observation / 0)
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match="iteration 1: observation"):
        PPO(env, PROBE, seed=1).learn(256)


def test_a_true_last_observation_that_is_not_finite_is_named():
    class InfiniteEnd(gymnasium.vector.VectorWrapper):
        def step(self, actions):
            *stepped, info = self.env.step(actions)
            if "final_obs" in info:
                info["final_obs"] = [np.full(2, np.inf)] * self.num_envs
                info["final_obs"] = np.array([*info["final_obs"], None], dtype=object)[:-1]
            return *stepped, info

    env = InfiniteEnd(counters(AutoresetMode.SAME_STEP, [(4, True)] * 2))
    config = PROBE.model_copy(update={"num_envs": 2, "rollout_length": 32})
    with pytest.raises(DivergedError, match="iteration 1: observation"):
        PPO(env, config, seed=1).learn(64)


def test_rewards_too_large_to_be_scaled_are_named():
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match="iteration 1: variance of returns"):
        trained(NORMALISING, seed=1, reward=lambda sign, step, action: 1e200)


def test_environments_that_do_not_fit_are_refused():
    env = Probe(lambda sign, step, action: 0.0, num_envs=8)
    with pytest.raises(ValueError, match="num_envs: the config says 16, the environment has 8"):
        PPO(env, PROBE, seed=1)
    env.single_action_space = MultiDiscrete([2, 2])
    with pytest.raises(TypeError, match="Discrete is needed"):
        PPO(env, PROBE, seed=1)
    env.single_observation_space = Discrete(3)
    with pytest.raises(TypeError, match="Box is needed"):
        PPO(env, PROBE, seed=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused():
    assert choose_device("auto", parameters=2**16) == torch.device("cpu")
    with pytest.raises(ValueError, match="use auto or cpu"):
        choose_device("cuda", parameters=2**16)


@needs_cuda
def test_small_networks_are_trained_on_the_processor_unless_told_otherwise():
    assert choose_device("auto", parameters=2**16 - 1) == torch.device("cpu")
    assert choose_device("auto", parameters=2**16) == torch.device("cuda")
    assert choose_device("cuda", parameters=1) == torch.device("cuda")
    assert choose_device("cpu", parameters=2**16) == torch.device("cpu")


def test_observations_of_any_shape_and_type_are_flattened():
    env = Probe(lambda sign, step, action: action)
    env.single_observation_space = Box(0, 255, (3, 2), np.uint8)
    pictures = Shown(env, lambda observation: np.tile(observation[:, None, :] > 0, (1, 3, 1)).astype(np.uint8))
    ppo = PPO(pictures, PROBE, seed=1)
    ppo.learn(2000)
    assert ppo.predict(np.zeros((5, 3, 2), np.uint8)).tolist() == [0] * 5
