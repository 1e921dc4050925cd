"""The progress of a run, episode by episode, and the state that its checkpoint holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_training.core.ppo.ensemble import load_member
from rl_training.core.ppo.policy import Policy, PolicyShape, part_of
from rl_training.core.ppo.ppo import PPO
from rl_training.core.run.held_out import Rewards
from rl_training.core.run.tally import EPISODE_REWARDS, Tally
from rl_training.core.trading.environment import TradingVectorEnv

# The names of the finished members' tensors in a checkpoint begin with this, and the number of the member.
MEMBERS = "members"


@dataclass(frozen=True)
class Progress:
    """A finished episode of a member: number `episode` of `episodes` in member `member` of `members`, from 1.

    `episodes_done` are the finished episodes of all members, divided by their number and rounded down.
    `avg_reward` is the mean over all episodes that the members have finished so far, the losses are means over all
    iterations so far, and `environment_steps` counts the steps of all members. `metrics` are those of the member's
    iteration `iteration`, in which the episode ended, named as in curves.METRICS. `held_out` is the newest measurement.
    """

    episode: int
    episodes: int
    member: int
    members: int
    episodes_done: int
    episode_reward: float
    avg_reward: float
    environment_steps: int
    policy_loss: float
    value_loss: float
    iteration: int
    metrics: dict[str, float]
    held_out: Rewards | None


def capture(
    ppo: PPO, env: TradingVectorEnv, tally: Tally, finished: Sequence[Policy]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return everything that a bit-identical continuation needs: tensors, and the rest as values for JSON.

    `ppo` trains a member, and `finished` are the members before it.
    """
    tensors, rest = split_arrays("environment", env.state_dict())
    tensors |= {f"ppo.{name}": tensor for name, tensor in ppo.state_dict().items()}
    for number, member in enumerate(finished):
        tensors |= {f"{MEMBERS}.{number}.{name}": tensor for name, tensor in member.tensors().items()}
    # The rewards are a tensor, because 100,000 numbers take 2.4 MB and 0.2 s as JSON in every checkpoint.
    tensors[EPISODE_REWARDS] = torch.tensor(tally.sums, dtype=torch.float64)
    sums = {name: value for name, value in vars(tally).items() if name not in ("sums", "episodes", "members")}
    return tensors, {"environment": rest, "tally": sums, "finished_members": len(finished)}


def restore(
    ppo: PPO, env: TradingVectorEnv, tally: Tally, tensors: dict[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Restore `ppo`, `env` and `tally` from a state of capture(); finished_members() returns the rest of the state."""
    ppo.load_state_dict(part_of(tensors, "ppo"))
    env.load_state_dict(join_arrays("environment", tensors, state["environment"]))
    tally.load(state["tally"], tensors.get(EPISODE_REWARDS, torch.empty(0)).tolist())


def finished_members(shape: PolicyShape, tensors: dict[str, Tensor], state: Mapping[str, Any]) -> list[Policy]:
    """Return the members that were finished in a state of capture(); none before format 4."""
    parts = [part_of(tensors, f"{MEMBERS}.{number}") for number in range(state.get("finished_members", 0))]
    return [load_member(shape, part) for part in parts]


def split_arrays(name: str, value: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the arrays of a nested mapping as tensors, named by their path, and the mapping without them."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, np.ndarray):
            tensors[f"{name}.{key}"] = torch.from_numpy(entry.copy())
        elif isinstance(entry, Mapping):
            inner, rest[key] = split_arrays(f"{name}.{key}", entry)
            tensors |= inner
        else:
            rest[key] = entry
    return tensors, rest


def join_arrays(name: str, tensors: dict[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping that split_arrays() divided."""
    whole = {
        key: join_arrays(f"{name}.{key}", tensors, entry) if isinstance(entry, Mapping) else entry
        for key, entry in rest.items()
    }
    for key, tensor in part_of(tensors, name).items():
        if "." not in key:
            whole[key] = tensor.numpy()
    return whole
