import pytest
import torch
from torch import nn

from rl_training.core.ppo.adam import Adam, _torch_step
from rl_training.core.ppo.networks import FlatParameters


def parameters():
    return FlatParameters(torch.randn(500, generator=torch.Generator().manual_seed(1)), torch.zeros(500))


def gradients(count):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(500, generator=generator) * scale for scale in torch.logspace(-4, 1, count)]


def by_torch(given, steps):
    vector = nn.Parameter(given.values)
    optimizer = torch.optim.Adam([vector], lr=1e-2, eps=1e-5)
    for gradient in steps:
        vector.grad = gradient.clone()
        nn.utils.clip_grad_norm_([vector], 0.5)
        optimizer.step()
    return vector.detach()


def stepped(given, steps):
    adam = Adam(given)
    for gradient in steps:
        given.gradient.copy_(gradient)
        adam.step(1e-2, 0.5)
    return given.values


def on_other_devices(monkeypatch):
    monkeypatch.setattr(
        "rl_training.core.ppo.adam._step",
        lambda *given: _torch_step(*map(torch.from_numpy, given[:4]), *given[4:]),
    )


@pytest.mark.parametrize("device", ["cpu", "another"])
def test_it_does_what_torch_does(monkeypatch, device):
    if device == "another":
        on_other_devices(monkeypatch)
    torch.testing.assert_close(
        stepped(parameters(), gradients(50)), by_torch(parameters(), gradients(50)), rtol=1e-4, atol=1e-5
    )


def test_it_goes_on_from_its_state():
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
def test_a_norm_that_is_not_finite_shows_in_the_parameters(monkeypatch, device, huge):
    if device == "another":
        on_other_devices(monkeypatch)
    assert stepped(parameters(), [torch.full((500,), huge)]).isnan().any()
