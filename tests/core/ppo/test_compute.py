import pytest
import torch

from rl_training.core.config import PPOConfig
from rl_training.core.ppo.compute import CompiledCompute, TorchCompute, compute_for
from rl_training.core.ppo.networks import ActorCritic, flatten_parameters
from rl_training.core.ppo.objective import Batch


def computes(hidden_sizes=(64, 64), threads=2, actions=3, **given):
    """Return both implementations for the same network, and the network's parameters."""
    generator = torch.Generator().manual_seed(1)
    network = ActorCritic(11, actions, hidden_sizes, generator)
    parameters = flatten_parameters(network)
    parameters.values.add_(0.1 * torch.randn(parameters.values.shape, generator=generator))
    config = PPOConfig(**given)
    return TorchCompute(network, parameters, config), CompiledCompute(network, parameters, config, threads), parameters


def batch(steps=3000, actions=3):
    generator = torch.Generator().manual_seed(2)
    return Batch(
        observations=torch.randn(steps, 11, generator=generator),
        actions=torch.randint(actions, (steps,), generator=generator),
        log_probs=0.3 * torch.randn(steps, generator=generator) - 1.1,
        advantages=torch.randn(steps, generator=generator),
        returns=torch.randn(steps, generator=generator),
    )


def gradients(compute, parameters, rows, steps):
    report = compute.gradient(steps)(rows)
    return report.float(), parameters.gradient.clone()


@pytest.mark.parametrize("count", [1, 2, 255, 257, 2900])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"hidden_sizes": [16]},
        {"hidden_sizes": [32, 8, 24]},
        {"value_clip_range": 0.3},
        {"actions": 18, "entropy_coefficient": 0.5},
        {"clip_range": 0.05, "value_coefficient": 3.0},
    ],
)
def test_compiled_gradient_equals_automatic_differentiation(count, given):
    by_torch, compiled, parameters = computes(**given)
    rows = torch.randperm(3000, generator=torch.Generator().manual_seed(3))[:count]
    steps = batch(actions=given.get("actions", 3))
    expected_report, expected = gradients(by_torch, parameters, rows, steps)
    report, gradient = gradients(compiled, parameters, rows, steps)
    torch.testing.assert_close(report, expected_report, rtol=1e-5, atol=1e-7)
    # The rounding error of a sum is relative to its largest terms.
    assert (gradient - expected).norm() <= 1e-5 * expected.norm()
    assert (gradient - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_compiled_actions_and_values_equal_torch():
    by_torch, compiled, _ = computes()
    seen = batch().observations
    uniform = torch.rand(len(seen), generator=torch.Generator().manual_seed(4)).numpy()
    expected_actions, expected_log_probs = by_torch.act(seen.numpy(), uniform)
    actions, log_probs = compiled.act(seen.numpy(), uniform)
    # Rounding may change the action if a random number lies on the border between two actions.
    assert (actions != expected_actions).sum() <= 1
    same = actions == expected_actions
    assert abs(log_probs - expected_log_probs)[same].max() <= 1e-5
    torch.testing.assert_close(compiled.values(seen), by_torch.values(seen), rtol=1e-5, atol=1e-6)


def test_thread_count_does_not_change_a_bit():
    rows, steps = torch.arange(2900), batch()
    _, one, parameters = computes(threads=1)
    _, three, other_parameters = computes(threads=3)
    assert torch.equal(one.values(steps.observations), three.values(steps.observations))
    for first, second in zip(
        gradients(one, parameters, rows, steps), gradients(three, other_parameters, rows, steps), strict=True
    ):
        assert torch.equal(first, second)


def test_nan_return_gives_nan_gradient_and_value_loss():
    _, compiled, parameters = computes()
    steps = batch()
    steps.returns[7] = torch.nan
    report, gradient = gradients(compiled, parameters, torch.arange(100), steps)
    assert report.isnan().tolist() == [False, True, False, False, False]
    assert gradient.isnan().any()


def test_large_networks_are_computed_by_torch():
    small, large = (ActorCritic(11, 3, sizes, torch.Generator()) for sizes in ([64, 64], [1024, 1024]))
    config = PPOConfig()
    assert type(compute_for(small, flatten_parameters(small), config, 1)) is CompiledCompute
    assert type(compute_for(large, flatten_parameters(large), config, 1)) is TorchCompute
