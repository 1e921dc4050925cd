import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode

from rl_training.core.ppo.ppo import PPO, DivergedError, choose_device
from tests.core.ppo.ppo_cases import NORMALISING, PROBE, Shown, needs_cuda, trained
from tests.counting import Probe, counters


@pytest.mark.parametrize(("reward", "named"), [(np.nan, "iteration 1: reward"), (1e25, "iteration 1: train/")])
def test_reward_or_loss_that_is_not_finite_is_named(reward, named):
    with pytest.raises(DivergedError, match=named):
        trained(PROBE, seed=1, reward=lambda sign, step, action: reward)


def test_observation_that_is_not_finite_is_named():
    env = Shown(Probe(lambda sign, step, action: 0.0), lambda observation: observation / 0)
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match="iteration 1: observation"):
        PPO(env, PROBE, seed=1).learn(256)


def test_final_observation_that_is_not_finite_is_named():
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


def test_rewards_too_large_to_scale_are_named():
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match="iteration 1: variance of returns"):
        trained(NORMALISING, seed=1, reward=lambda sign, step, action: 1e200)


def test_environment_that_does_not_fit_the_config_is_refused():
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
def test_missing_cuda_device_is_refused():
    assert choose_device("auto", parameters=2**16) == torch.device("cpu")
    with pytest.raises(ValueError, match="use auto or cpu"):
        choose_device("cuda", parameters=2**16)


@needs_cuda
def test_auto_device_is_the_processor_for_small_networks():
    assert choose_device("auto", parameters=2**16 - 1) == torch.device("cpu")
    assert choose_device("auto", parameters=2**16) == torch.device("cuda")
    assert choose_device("cuda", parameters=1) == torch.device("cuda")
    assert choose_device("cpu", parameters=2**16) == torch.device("cpu")
