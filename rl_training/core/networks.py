"""The actor and the critic, two networks that share nothing, and how actions are drawn from the actor's logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Network(nn.Module):
    """Fully connected tanh layers, [n, sizes[0]] -> [n, sizes[-1]].

    Weights are orthogonal with gain sqrt(2), in the last layer `gain`; biases are 0.
    """

    def __init__(self, sizes: Sequence[int], gain: float, generator: torch.Generator) -> None:
        super().__init__()
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


def flatten_parameters(module: nn.Module) -> tuple[nn.Parameter, Tensor]:
    """All parameters of `module` as one vector, and their gradients as another, which is the gradient of the first.

    The parameters become views of the vector, so that clipping and Adam are one operation each and not one for each
    layer: for networks this small they would cost as much as the gradient itself.
    """
    parameters = list(module.parameters())
    vector = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    vector.grad = gradient = torch.zeros_like(vector)
    position = 0
    for parameter in parameters:
        part = slice(position, position := position + parameter.numel())
        parameter.data = vector.data[part].view_as(parameter)
        parameter.grad = gradient[part].view_as(parameter)
    return vector, gradient


def gumbel_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Noise by which `argmax(logits + noise)` is a draw from softmax(logits): Gumbel (1954), "the Gumbel-max trick"."""
    return torch.empty(*shape).exponential_(generator=generator).log_().neg_()
