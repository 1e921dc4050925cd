"""Training and held-out rewards of a run, side by side at evenly spaced iterations."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rl_training.core.config import TrainingConfig
from rl_training.core.evaluation.held_out import HeldOutEpisodes
from rl_training.core.market.bars import MarketData
from rl_training.core.ppo.compiling import can_compile
from rl_training.core.ppo.ensemble import AnyPolicy
from rl_training.core.ppo.policy import Policy
from rl_training.core.ppo.ppo import Iteration
from rl_training.core.trading.features import FeatureStatistics

# The number of measured iterations of each member. A member with fewer iterations is measured at each.
POINTS = 24
# Held-out decisions per environment step between two measurements. A decision is one pass through the actor alone, a
# step of training about thirty passes, but in larger batches. docs/performance.md has the measured cost.
DECISIONS_PER_STEP = 1 / 5
# The same number per step of the vector environment. With few environments, a step takes as long as many decisions.
DECISIONS_PER_VECTOR_STEP = 1
# On CUDA a step of training takes as long for large networks as for small ones. These decisions are made on the
# processor, and take longer for large networks: with p parameters of the actor, at most this / p decisions per step.
CUDA_PARAMETERS = 7_000
# Networks that are too large for compiled code decide on CUDA, where a bar takes as long for one window as for many.
LONGEST_ON_CUDA = 16


@dataclass(frozen=True)
class Rewards:
    """Log returns of an episode of `episode_length` bars, costs included.

    training  the mean since the previous measurement, of actions drawn from the policy
    held_out  of the most probable actions on held-out bars
    """

    training: float
    held_out: float

    def named(self) -> dict[str, float]:
        """Return the rewards by their names in curves and progress entries; a value that is not finite is left out."""
        named = {"training_reward": self.training, "held_out_reward": self.held_out}
        return {name: value for name, value in named.items() if math.isfinite(value)}


def measured_iterations(iterations: int) -> list[int]:
    """Return the numbers, from 1, of a member's measured iterations, always including the last."""
    return sorted({math.ceil(point * iterations / POINTS) for point in range(1, POINTS + 1)})


class HeldOutCurve:
    """Measures the members of a run. The results select nothing. Without held-out bars nothing is measured.

    later       the held-out bars
    statistics  of the training bars
    policy      a member; only its size and its device are used
    """

    def __init__(
        self, config: TrainingConfig, later: MarketData | None, statistics: FeatureStatistics, policy: Policy
    ) -> None:
        self._at = set(measured_iterations(config.member_iterations))
        self._episode_length = config.environment.episode_length
        on_cuda = policy.network.device.type == "cuda"
        per_step = min(DECISIONS_PER_STEP, CUDA_PARAMETERS / policy.actor_parameters) if on_cuda else DECISIONS_PER_STEP
        vector_steps = config.episodes * self._episode_length / len(self._at)
        decisions = int(vector_steps * (config.ppo.num_envs * per_step + DECISIONS_PER_VECTOR_STEP))
        length = LONGEST_ON_CUDA if on_cuda and not can_compile(policy) else self._episode_length
        self._episodes: HeldOutEpisodes | None = None
        if later is not None:
            self._episodes = HeldOutEpisodes(later, config.environment, statistics, decisions=decisions, length=length)
        self._reward, self._steps = 0.0, 0
        self.newest: Rewards | None = None

    def add(self, iteration: Iteration, policy: AnyPolicy) -> Rewards | None:
        """Add an iteration of a member, which made `policy`; return the rewards if the iteration is measured."""
        self._reward += float(iteration.rewards.mean(axis=1).sum())
        self._steps += len(iteration.rewards)
        if self._episodes is None or iteration.iteration not in self._at:
            return None
        training = self._reward / self._steps * self._episode_length
        self._reward, self._steps = 0.0, 0
        self.newest = Rewards(training, self._episodes.mean_reward(policy))
        return self.newest

    def state_dict(self) -> dict[str, Any]:
        """Return what load_state_dict() needs, as JSON values."""
        newest = None if self.newest is None else [self.newest.training, self.newest.held_out]
        return {"reward": self._reward, "steps": self._steps, "newest": newest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from state_dict()."""
        self._reward, self._steps = state["reward"], state["steps"]
        self.newest = None if state["newest"] is None else Rewards(*state["newest"])
