import numpy as np
import pytest
import torch

from rl_training.core.ppo.objective import (
    Batch,
    clipped_surrogate,
    explained_variance,
    generalised_advantages,
    normalised,
    squared_errors,
)


def brute_force(rewards, values, next_values, terminated, ended, gamma, gae_lambda):
    """Return the sum over k of (gamma lambda)^k delta_(t+k), up to the episode's end, step by step."""
    advantages = np.zeros_like(rewards)
    steps, envs = rewards.shape
    for env in range(envs):
        for start in range(steps):
            for step in range(start, steps):
                bootstrap = 0.0 if terminated[step, env] else next_values[step, env]
                delta = rewards[step, env] + gamma * bootstrap - values[step, env]
                advantages[start, env] += (gamma * gae_lambda) ** (step - start) * delta
                if ended[step, env]:
                    break
    return advantages


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.5)])
def test_advantages_equal_a_brute_force_sum(gamma, gae_lambda):
    random = np.random.default_rng(1)
    rewards, values, next_values = random.normal(size=(3, 40, 5))
    terminated = random.random((40, 5)) < 0.1
    ended = terminated | (random.random((40, 5)) < 0.1)
    arguments = (rewards, values, next_values, terminated, ended, gamma, gae_lambda)
    np.testing.assert_allclose(generalised_advantages(*arguments), brute_force(*arguments), rtol=0, atol=1e-9)


def test_truncated_step_bootstraps_and_terminated_step_does_not():
    one = np.ones((1, 2))
    advantages = generalised_advantages(
        one, 0 * one, 10 * one, np.array([[True, False]]), np.array([[True, True]]), 0.5, 0.9
    )
    assert advantages.tolist() == [[1.0, 6.0]]


def minibatch(advantages):
    rows = len(advantages)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    batch = Batch(
        observations=torch.zeros(rows, 1),
        actions=torch.randint(3, (rows,), generator=generator),
        log_probs=torch.randn(rows, 3, generator=generator, dtype=torch.float64).log_softmax(1)[:, 0],
        advantages=advantages,
        returns=torch.zeros(rows),
    )
    return logits, batch


def test_surrogate_gradient_equals_automatic_differentiation():
    advantages = torch.randn(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits, batch = minibatch(advantages)
    surrogate = clipped_surrogate(logits, batch, advantages, clip_range=0.2, entropy_coefficient=0.05)

    logits.requires_grad_()
    distribution = torch.distributions.Categorical(logits=logits)
    ratio = (distribution.log_prob(batch.actions) - batch.log_probs).exp()
    policy_loss = -torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
    (policy_loss - 0.05 * distribution.entropy().mean()).backward()

    torch.testing.assert_close(surrogate.logits_gradient, logits.grad, rtol=1e-12, atol=1e-15)
    assert surrogate.policy_loss.item() == pytest.approx(policy_loss.item(), rel=1e-12)
    assert surrogate.entropy.item() == pytest.approx(distribution.entropy().mean().item(), rel=1e-12)


def test_ratio_beyond_the_clip_gets_a_gradient_only_towards_it():
    logits = torch.zeros(2, 2, dtype=torch.float64)
    batch = Batch(
        observations=torch.zeros(2, 1),
        actions=torch.tensor([0, 0]),
        log_probs=torch.tensor([0.25, 0.25], dtype=torch.float64).log(),  # now 0.5: ratio 2
        advantages=torch.tensor([1.0, -1.0], dtype=torch.float64),
        returns=torch.zeros(2),
    )
    surrogate = clipped_surrogate(logits, batch, batch.advantages, clip_range=0.2, entropy_coefficient=0.0)
    assert surrogate.logits_gradient.tolist() == [[0.0, 0.0], [0.5, -0.5]]
    assert surrogate.clip_fraction.item() == 1.0
    assert surrogate.policy_loss.item() == pytest.approx((-1.2 + 2.0) / 2)


def test_advantages_are_normalised_within_the_minibatch():
    advantages = normalised(torch.tensor([1.0, 2.0, 3.0]))
    assert advantages.tolist() == pytest.approx([-1.0, 0.0, 1.0])
    assert normalised(torch.tensor([5.0])).tolist() == [5.0]
    assert normalised(torch.tensor([5.0, 5.0])).tolist() == [0.0, 0.0]


def test_explained_variance_is_1_for_a_perfect_critic_only():
    returns = np.array([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(np.zeros(3), returns) == 0.0
    assert explained_variance(-returns, returns) == -3.0
    assert explained_variance(returns, np.ones(3)) == 0.0


def estimated(advantages, returns):
    """Return a batch with only the fields that the value loss uses."""
    none = torch.zeros(len(returns))
    return Batch(none.unsqueeze(1), none.long(), none, torch.tensor(advantages), torch.tensor(returns))


def test_without_clip_range_the_value_loss_is_the_mean_square():
    errors, loss = squared_errors(torch.tensor([1.0, 5.0]), estimated(advantages=[0.0, 2.0], returns=[0.0, 2.0]), 0.0)
    assert errors.tolist() == [1.0, 3.0]
    assert loss == 5.0


def test_value_moved_beyond_the_clip_range_gets_no_gradient():
    # Both values were 0 and should be 2; the second one has moved by 0.5.
    given = estimated(advantages=[2.0, 2.0], returns=[2.0, 2.0])
    errors, loss = squared_errors(torch.tensor([0.125, 0.5]), given, 0.25)
    assert errors.tolist() == [-1.875, 0.0]
    assert loss == (1.875**2 + 1.75**2) / 2


def test_value_moved_away_from_its_return_gets_the_full_gradient():
    errors, _ = squared_errors(torch.tensor([-1.0]), estimated(advantages=[2.0], returns=[2.0]), 0.25)
    assert errors.tolist() == [-3.0]
