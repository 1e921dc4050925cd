import copy

import numpy as np
import pytest
import torch

from rl_training.core.ppo.ppo import PPO
from tests.core.ppo.ppo_cases import NORMALISING, ON_CUDA, PROBE, same, signed_action, trained
from tests.counting import Probe


@pytest.mark.parametrize("config", [PROBE, NORMALISING, ON_CUDA])
def test_same_seed_gives_the_same_weights_to_the_bit(config):
    first = trained(config, seed=7).state_dict()
    assert same(first, trained(config, seed=7).state_dict())
    assert not same(first, trained(config, seed=8).state_dict())


def test_global_random_state_is_neither_read_nor_changed():
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
def test_resumed_training_equals_uninterrupted_training(config, stopped_after):
    whole = trained(config, seed=7).state_dict()

    env = Probe(signed_action, length=5)
    first = PPO(env, config, seed=7)
    first.learn(1280, lambda iteration: iteration.iteration < stopped_after)
    state, env_as_it_was = first.state_dict(), copy.deepcopy(env)
    first.learn(1280)
    assert same(first.state_dict(), whole)

    resumed = PPO(env_as_it_was, config, seed=99)
    resumed.load_state_dict(state)
    resumed.learn(1280)
    assert same(resumed.state_dict(), whole)


def test_state_from_before_the_first_step_can_be_resumed():
    resumed = PPO(Probe(signed_action, length=5), NORMALISING, seed=99)
    resumed.load_state_dict(PPO(Probe(lambda sign, step, action: 0.0), NORMALISING, seed=7).state_dict())
    resumed.learn(1280)
    assert same(resumed.state_dict(), trained(NORMALISING, seed=7).state_dict())


def test_start_from_copies_weights_and_running_statistics():
    first = trained(NORMALISING, seed=7)
    second = PPO(Probe(signed_action), NORMALISING, seed=8)
    second.start_from(first.policy)
    assert same(second.policy.tensors(), first.policy.tensors())
    assert second.scaler is not None
    assert second.scaler.statistics.count == 1280
    third = PPO(Probe(lambda sign, step, action: 0.0), NORMALISING.model_copy(update={"hidden_sizes": [8]}), seed=8)
    with pytest.raises(ValueError, match=r"network\.actor\.weights\.0"):
        third.start_from(first.policy)


def test_predicting_random_actions_does_not_change_training():
    asked = PPO(Probe(signed_action, length=5), PROBE, seed=7)
    drawn = asked.predict(np.zeros((100, 2)), deterministic=False)
    asked.learn(1280)
    assert set(drawn.tolist()) == {-1, 0}
    assert same(asked.policy.tensors(), trained(PROBE, seed=7).policy.tensors())
