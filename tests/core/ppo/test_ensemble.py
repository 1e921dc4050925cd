import numpy as np
import pytest
import torch

from rl_training.core.ppo.ensemble import Ensemble, combined, load_members
from rl_training.core.ppo.policy import Policy, PolicyShape

SHAPE = PolicyShape(
    observation_size=3,
    action_count=4,
    first_action=-1,
    hidden_sizes=(8,),
    normalises_observations=True,
    normalises_rewards=False,
)
OBSERVATIONS = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


def member(seed):
    """Return a policy with decided preferences and its own statistics of observations."""
    policy = Policy.create(SHAPE, torch.Generator().manual_seed(seed))
    for parameter in policy.network.actor.parameters():
        parameter.data.normal_(generator=policy.generator)
    assert policy.observations is not None
    policy.observations.update(np.random.default_rng(seed).normal(seed, 2, (20, 3)).astype(np.float32))
    return policy


def always(*probabilities):
    """Return a policy whose probabilities do not depend on the observation."""
    policy = Policy.create(SHAPE)
    with torch.no_grad():
        policy.network.actor.weights[-1].zero_()
        policy.network.actor.biases[-1].copy_(torch.tensor(probabilities).log())
    return policy


@pytest.fixture
def ensemble():
    return Ensemble((member(1), member(2), member(3)))


def test_probabilities_are_the_mean_of_the_members_softmax(ensemble):
    expected = np.zeros((50, 4))
    for policy in ensemble.members:
        statistics = policy.observations.statistics
        x = ((OBSERVATIONS - statistics.mean) / np.sqrt(statistics.variance + 1e-8)).clip(-10, 10)
        first, second = [weight.detach().numpy().astype(np.float64) for weight in policy.network.actor.weights]
        bias, last_bias = [part.detach().numpy().astype(np.float64) for part in policy.network.actor.biases]
        powers = np.exp(np.tanh(x @ first.T + bias) @ second.T + last_bias)
        expected += powers / powers.sum(axis=1, keepdims=True) / 3
    found = ensemble.probabilities(torch.from_numpy(OBSERVATIONS)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert ensemble.predict(OBSERVATIONS).tolist() == (expected.argmax(axis=1) - 1).tolist()


def test_a_confident_member_outvotes_two_doubtful_ones():
    ensemble = Ensemble((always(0.4, 0.6, 0, 0), always(0.4, 0.6, 0, 0), always(1.0, 0, 0, 0)))
    assert ensemble.predict(np.zeros(3)) == -1
    assert ensemble.probabilities(torch.zeros(1, 3)).numpy() == pytest.approx(np.array([[0.6, 0.4, 0, 0]]))


def test_first_of_equally_probable_actions_is_taken():
    ensemble = Ensemble((always(0, 1.0, 0, 0), always(0, 0, 1.0, 0)))
    assert ensemble.predict(np.zeros((2, 3))).tolist() == [0, 0]


def test_random_actions_follow_the_mean_probabilities():
    ensemble = Ensemble((always(0.1, 0.2, 0.3, 0.4), always(0.7, 0.2, 0.1, 0)))
    drawn = ensemble.predict(np.zeros((20_000, 3)), deterministic=False)
    shares = [float((drawn == action).mean()) for action in (-1, 0, 1, 2)]
    assert shares == pytest.approx([0.4, 0.2, 0.2, 0.2], abs=0.015)


def test_loaded_members_decide_like_the_saved_ones(ensemble):
    tensors = ensemble.tensors()
    assert "member.2.network.actor.weights.0" in tensors
    loaded = load_members(SHAPE, 3, tensors)
    assert loaded.predict(OBSERVATIONS).tolist() == ensemble.predict(OBSERVATIONS).tolist()


@pytest.mark.parametrize("members", [2, 4])
def test_another_number_of_members_is_refused(ensemble, members):
    with pytest.raises(ValueError, match="do not fit"):
        load_members(SHAPE, members, ensemble.tensors())


def test_a_single_member_is_the_policy_itself():
    policy = member(1)
    assert combined([policy]) is policy
    assert policy.members == (policy,)
