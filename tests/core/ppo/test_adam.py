from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.adam import adam

from rl_training.core.ppo.adam import Adam, _torch_step
from rl_training.core.ppo.networks import FlatParameters


def parameters():
    return FlatParameters(torch.randn(500, generator=torch.Generator().manual_seed(1)), torch.zeros(500))


def gradients(count):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(500, generator=generator) * scale for scale in torch.logspace(-4, 1, count)]


def stepped_by_torch(given, steps):
    """Return the values after steps of the function that `torch.optim.Adam` calls; the class imports for seconds."""
    vector, mean, square, count = given.values, torch.zeros(500), torch.zeros(500), torch.tensor(0.0)
    settings: dict[str, Any] = {"beta1": 0.9, "beta2": 0.999, "lr": 1e-2, "eps": 1e-5, "weight_decay": 0.0}
    for gradient in steps:
        gradient = gradient.clone()
        clip_norm(gradient, 0.5)
        adam([vector], [gradient], [mean], [square], [], [count], amsgrad=False, maximize=False, **settings)
    return vector


def clip_norm(gradient, most):
    parameter = nn.Parameter(torch.zeros(500))
    parameter.grad = gradient
    nn.utils.clip_grad_norm_([parameter], most)


def stepped(given, steps):
    adam = Adam(given)
    for gradient in steps:
        given.gradient.copy_(gradient)
        adam.step(1e-2, 0.5)
    return given.values


def use_the_steps_of_other_devices(monkeypatch):
    """Step by the torch operations that other devices than the CPU use."""

    def step(values, gradient, mean, square, *settings):
        _torch_step(
            torch.from_numpy(values),
            torch.from_numpy(gradient),
            torch.from_numpy(mean),
            torch.from_numpy(square),
            *settings,
        )

    monkeypatch.setattr("rl_training.core.ppo.adam._step", step)


@pytest.mark.parametrize("device", ["cpu", "another"])
def test_adam_steps_equal_torch_adam_with_clipped_norm(monkeypatch, device):
    if device == "another":
        use_the_steps_of_other_devices(monkeypatch)
    torch.testing.assert_close(
        stepped(parameters(), gradients(50)), stepped_by_torch(parameters(), gradients(50)), rtol=1e-4, atol=1e-5
    )


def test_adam_with_restored_state_continues_identically():
    given = parameters()
    first = Adam(given)
    for gradient in gradients(10)[:5]:
        given.gradient.copy_(gradient)
        first.step(1e-2, 0.5)
    second = Adam(given)
    second.load_state_dict(first.state_dict())
    for gradient in gradients(10)[5:]:
        given.gradient.copy_(gradient)
        second.step(1e-2, 0.5)
    assert torch.equal(given.values, stepped(parameters(), gradients(10)))


@pytest.mark.parametrize("device", ["cpu", "another"])
@pytest.mark.parametrize("huge", [1e30, float("inf"), float("nan")])
def test_gradient_with_infinite_norm_makes_parameters_nan(monkeypatch, device, huge):
    if device == "another":
        use_the_steps_of_other_devices(monkeypatch)
    assert stepped(parameters(), [torch.full((500,), huge)]).isnan().any()
