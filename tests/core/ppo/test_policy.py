import dataclasses

import numpy as np
import pytest
import torch

from rl_training.core.ppo.networks import ActorCritic, draw, flatten_parameters
from rl_training.core.ppo.policy import Policy, PolicyShape

SHAPE = PolicyShape(
    observation_size=3,
    action_count=4,
    first_action=-1,
    hidden_sizes=(8,),
    normalises_observations=False,
    normalises_rewards=False,
)
OBSERVATIONS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def test_predict_returns_actions_in_the_shape_of_observations():
    policy = Policy.create(SHAPE)
    many = policy.predict(OBSERVATIONS)
    assert many.shape == (20,)
    assert many.dtype == np.int64
    assert policy.predict(OBSERVATIONS[:1]).tolist() == many[:1].tolist()
    assert policy.predict(OBSERVATIONS[0]).shape == ()
    assert policy.predict(OBSERVATIONS[0].tolist()) == many[0]
    assert set(many.tolist()) <= {-1, 0, 1, 2}


@pytest.mark.parametrize("shape", [(2,), (5, 4), (0, 3), ()])
def test_observations_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match="this policy observes 3 numbers"):
        Policy.create(SHAPE).predict(np.zeros(shape))


def test_random_actions_follow_the_actors_probabilities():
    policy = Policy.create(SHAPE)
    with torch.no_grad():
        policy.network.actor.biases[-1].copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]).log())
    drawn = policy.predict(np.zeros((20_000, 3)), deterministic=False)
    shares = [float((drawn == action).mean()) for action in (-1, 0, 1, 2)]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.015)
    assert policy.predict(np.zeros(3)) == 2


def test_saved_tensors_include_the_running_statistics():
    policy = Policy.create(dataclasses.replace(SHAPE, normalises_observations=True, normalises_rewards=True))
    assert policy.observations is not None
    policy.observations.update(100 * OBSERVATIONS + 1000)
    other = Policy.create(policy.shape, torch.Generator().manual_seed(9))
    other.load_tensors(policy.tensors())
    shown = 100 * OBSERVATIONS[::-1] + 1000
    assert other.predict(shown).tolist() == policy.predict(shown).tolist()
    assert len(set(policy.predict(shown).tolist())) > 1


def test_load_tensors_names_the_tensors_that_do_not_fit():
    tensors = Policy.create(SHAPE).tensors()
    del tensors["network.actor.biases.1"]
    tensors["network.critic.weights.0"] = torch.zeros(8, 2)
    with pytest.raises(ValueError, match=r"do not fit the policy: network\.actor\.biases\.1, network\.critic\.weigh"):
        Policy.create(SHAPE).load_tensors(tensors)


def test_tensors_returns_copies():
    policy = Policy.create(SHAPE)
    policy.tensors()["network.actor.biases.0"].fill_(7)
    assert policy.tensors()["network.actor.biases.0"].tolist() == [0] * 8


def test_initial_weights_are_orthogonal_with_the_published_gains():
    network = ActorCritic(8, 4, [8, 8], torch.Generator().manual_seed(0))
    for part, last_gain in ((network.actor, 0.01), (network.critic, 1.0)):
        for weight, gain in zip(part.weights, (2**0.5, 2**0.5, last_gain), strict=True):
            rows = len(weight)
            torch.testing.assert_close(weight @ weight.t(), gain**2 * torch.eye(rows), rtol=0, atol=1e-5)
        assert all((bias == 0).all() for bias in part.biases)


def test_flat_parameters_share_memory_with_the_network():
    network = ActorCritic(3, 2, [4], torch.Generator().manual_seed(0))
    observations = torch.ones(1, 3)
    before = network.logits(observations)
    flat = flatten_parameters(network)
    assert torch.equal(network.logits(observations), before)
    network.values(observations).sum().backward()
    assert flat.gradient[: len(flat.gradient) // 2].abs().sum() == 0
    assert flat.gradient.abs().sum() > 0
    flat.values.zero_()
    assert network.logits(observations).tolist() == [[0.0, 0.0]]


def test_draw_picks_actions_as_often_as_they_are_probable():
    logits = torch.tensor([0.5, 0.0, 0.3, 0.2]).log().expand(100_000, 4)
    actions = draw(logits, torch.rand(100_000, generator=torch.Generator().manual_seed(0)))
    assert (torch.bincount(actions, minlength=4) / 100_000).tolist() == pytest.approx([0.5, 0.0, 0.3, 0.2], abs=0.005)


def test_draw_of_0_and_1_picks_the_first_and_the_last_action():
    logits = torch.zeros(2, 3)
    assert draw(logits, torch.tensor([0.0, 1.0])).tolist() == [0, 2]
