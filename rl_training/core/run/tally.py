"""Sums over a run's iterations. They can be read from a checkpoint without torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_training.core.run.curves import CURVES, RunCurves
from rl_training.core.sealed import load_checkpoint_arrays

if TYPE_CHECKING:
    from rl_training.core.ppo.ppo import Iteration

# The name of the episode rewards among the tensors of a checkpoint: sums over the members.
EPISODE_REWARDS = "tally.episode_rewards"


@dataclass
class Tally:
    """Sums over the iterations of a run so far, in which `members` members train one after the other.

    An episode is `episode_length` steps in every environment. Its reward is the mean, over environments, of the sum of
    rewards. If an account is ruined earlier, the environment begins again and its rewards still count. Each member has
    `episodes` episodes.
    """

    episode_length: int
    episodes: int
    members: int
    sums: list[float] = field(default_factory=list)  # of each episode's reward, over members that finished it
    finished: int = 0  # episodes, of all members
    total: float = 0.0  # of the rewards of the finished episodes
    reward: float = 0.0
    steps: int = 0
    iterations: int = 0
    policy_loss: float = 0.0
    value_loss: float = 0.0

    def add(self, iteration: "Iteration") -> list[tuple[int, float]]:
        """Add an iteration of the member in training. Return the number, from 1, and the reward of the episodes that
        ended in it.
        """
        self.iterations += 1
        self.policy_loss += iteration.metrics["train/policy_gradient_loss"]
        self.value_loss += iteration.metrics["train/value_loss"]
        ended = []
        for reward in iteration.rewards.mean(axis=1).tolist():
            self.reward += reward
            self.steps += 1
            if self.steps == self.episode_length:
                ended.append((self._end_episode(), self.reward))
                self.reward, self.steps = 0.0, 0
        return ended

    def _end_episode(self) -> int:
        episode = self.finished % self.episodes
        if episode == len(self.sums):
            self.sums.append(0.0)
        self.sums[episode] += self.reward
        self.total += self.reward
        self.finished += 1
        return episode + 1

    @property
    def episode_rewards(self) -> list[float]:
        """The reward of each episode, the mean over the members that have finished it.

        Another thread may read it while an episode is added.
        """
        finished = self.finished
        whole, rest = divmod(finished, self.episodes)
        return [total / (whole + (episode < rest)) for episode, total in enumerate(self.sums[:finished])]

    @property
    def episodes_done(self) -> int:
        """The finished episodes of all members, divided by the number of members and rounded down."""
        return self.finished // self.members

    @property
    def mean_losses(self) -> tuple[float, float]:
        """The mean losses of the policy and of the critic over the iterations; 0 before the first iteration."""
        iterations = max(self.iterations, 1)
        return self.policy_loss / iterations, self.value_loss / iterations

    def results(self) -> dict[str, Any]:
        """Return the columns of the rewards and losses so far, for a run that ends early; empty before an episode.

        They include the numbers of episodes and iterations behind the rewards. If the run diverged and a reward is not
        finite, nothing is returned, because PostgreSQL stores no JSON with NaN.
        """
        rewards = self.episode_rewards
        if not rewards or not all(map(math.isfinite, rewards)):
            return {}
        policy_loss, value_loss = self.mean_losses
        found = {"avg_policy_loss": policy_loss, "avg_value_loss": value_loss}
        known = {name: value for name, value in found.items() if math.isfinite(value)}
        average = sum(rewards) / len(rewards)
        done = {"episodes_done": self.finished // self.members, "iterations_done": self.iterations}
        return {"episode_rewards": rewards, "avg_reward": average, "final_reward": rewards[-1], **known, **done}

    def load(self, state: Mapping[str, Any], sums: Sequence[float]) -> None:
        """Load the sums of a checkpoint: `state` from its JSON, `sums` from the tensor EPISODE_REWARDS."""
        values = dict(state)
        # A checkpoint of format 2 holds the rewards among the other sums. Before format 4, a run had one member.
        self.sums = values.pop("episode_rewards", list(sums))
        for name, value in ({"finished": len(self.sums), "total": sum(self.sums)} | values).items():
            setattr(self, name, value)


def saved_results(path: Path) -> dict[str, Any]:
    """Return the columns of a run that ended at a checkpoint: those of Tally.results(), its steps and its curve.

    A checkpoint of another release may hold no curve. Raises CheckpointError if it is missing or damaged.
    """
    tensors, state = load_checkpoint_arrays(path)
    tally = _tally(tensors, state)
    results = tally.results()
    if not results:
        return {}
    steps = tally.finished * tally.episode_length + tally.steps
    results["environment_steps"] = steps * state["identity"]["config"]["ppo"]["num_envs"]
    if any(name.startswith(f"{CURVES}.") for name in tensors):
        curves = RunCurves()
        curves.load_tensors(tensors, CURVES)
        results["curve"] = curves.as_dict()
    return results


def _tally(tensors: Mapping[str, np.ndarray[Any, Any]], state: Mapping[str, Any]) -> Tally:
    config = state["identity"]["config"]
    tally = Tally(config["environment"]["episode_length"], config["episodes"], config.get("seeds", 1))
    tally.load(state["tally"], tensors[EPISODE_REWARDS].tolist() if EPISODE_REWARDS in tensors else [])
    return tally
