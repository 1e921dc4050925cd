"""The actor and the critic, two networks without shared layers, and the drawing of actions from the actor's logits."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class Network(nn.Module):
    """Fully connected layers with tanh between them, [n, sizes[0]] -> [n, sizes[-1]].

    Initial weights are orthogonal with gain sqrt(2), and `gain` in the last layer; initial biases are 0.
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
        # A plain list, because access to a ParameterList takes as long as a layer on a batch of 32 rows.
        self._layers: list[tuple[Tensor, Tensor]] = list(zip(self.weights, self.biases, strict=True))

    @property
    def device(self) -> torch.device:
        return self._layers[0][0].device

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, [n, sizes[-1]], for inputs, [n, sizes[0]]."""
        for weight, bias in self._layers[:-1]:
            x = torch.tanh(functional.linear(x, weight, bias))
        return functional.linear(x, *self._layers[-1])


class ActorCritic(nn.Module):
    """A separate actor and critic.

    The initial weights are detail 2 of Huang et al., "The 37 Implementation Details of Proximal Policy Optimization"
    (2022), the separate networks detail 13.
    """

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
        """Return the actor's logits, [n, action_count], for observations, [n, observation_size]."""
        return self.actor(observations)  # type: ignore[no-any-return]

    def values(self, observations: Tensor) -> Tensor:
        """Return the critic's values, [n], for observations, [n, observation_size]."""
        return self.critic(observations).squeeze(1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class FlatParameters:
    """All parameters of a module as one vector, in the module's order, and their gradients as another."""

    values: Tensor
    gradient: Tensor


def flatten_parameters(module: nn.Module) -> FlatParameters:
    """Make the parameters of `module` and their gradients views of two vectors, and return the vectors.

    A step of the optimiser is then one pass over two vectors instead of one pass for each layer.
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
    """Draw actions, int64 [n], from softmax(logits), [n, actions]; see draw_from()."""
    return draw_from(functional.softmax(logits, dim=1), uniform)


def draw_from(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Draw actions, int64 [n], from `probabilities`, [n, actions], by numbers between 0 and 1, `uniform` [n].

    The action is the first one whose cumulative probability exceeds the number.
    """
    below = probabilities.cumsum(1)
    return (below <= uniform.unsqueeze(1)).sum(1).clamp(max=probabilities.shape[1] - 1)
