"""The actor and the critic, two networks that share nothing, and how actions are drawn from the actor's logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class Network(nn.Module):
    """Fully connected tanh layers, [n, sizes[0]] -> [n, sizes[-1]].

    Weights are orthogonal with gain sqrt(2), in the last layer `gain`; biases are 0.
    """

    def __init__(self, sizes: Sequence[int], gain: float, generator: torch.Generator) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        gains = [2.0**0.5] * (len(sizes) - 2) + [gain]
        for inputs, outputs, layer_gain in zip(sizes, sizes[1:], gains, strict=False):
            weight = nn.init.orthogonal_(torch.empty(outputs, inputs), layer_gain, generator)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(outputs)))
        # A plain list: looking into a ParameterList costs as much as a layer for a batch of 32.
        self._layers: list[tuple[Tensor, Tensor]] = list(zip(self.weights, self.biases, strict=True))

    @property
    def device(self) -> torch.device:
        return self._layers[0][0].device

    def forward(self, x: Tensor) -> Tensor:
        for weight, bias in self._layers[:-1]:
            x = torch.tanh(functional.linear(x, weight, bias))
        return functional.linear(x, *self._layers[-1])


class ActorCritic(nn.Module):
    """Initialised as in Huang et al., "The 37 implementation details of proximal policy optimization" (2022)."""

    def __init__(
        self, observation_size: int, action_count: int, hidden_sizes: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.actor = Network([observation_size, *hidden_sizes, action_count], 0.01, generator)
        self.critic = Network([observation_size, *hidden_sizes, 1], 1.0, generator)

    @property
    def device(self) -> torch.device:
        return self.actor.device

    def logits(self, observations: Tensor) -> Tensor:
        """[n, observation_size] -> [n, action_count]."""
        return self.actor(observations)  # type: ignore[no-any-return]

    def values(self, observations: Tensor) -> Tensor:
        """[n, observation_size] -> [n]."""
        return self.critic(observations).squeeze(1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class FlatParameters:
    """All parameters of a module as one vector, in their order, and their gradients as another."""

    values: Tensor
    gradient: Tensor


def flatten_parameters(module: nn.Module) -> FlatParameters:
    """Make the parameters of `module` and their gradients views of two vectors.

    So that a step of the optimiser is one pass over them and not one for each layer.
    """
    parameters = list(module.parameters())
    values = torch.cat([parameter.detach().flatten() for parameter in parameters])
    gradient = torch.zeros_like(values)
    position = 0
    for parameter in parameters:
        part = slice(position, position := position + parameter.numel())
        parameter.data = values[part].view_as(parameter)
        parameter.grad = gradient[part].view_as(parameter)
    return FlatParameters(values, gradient)


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Actions, [n], from softmax(logits), [n, actions], by numbers drawn uniformly from 0 to 1, [n].

    The first action with which the probabilities, added up from the first on, exceed the number.
    """
    below = functional.softmax(logits, dim=1).cumsum(1)
    return (below <= uniform.unsqueeze(1)).sum(1).clamp(max=logits.shape[1] - 1)
