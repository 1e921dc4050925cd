"""The result of a training run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.evaluation import Evaluation
from rl_training.core.ppo.ensemble import AnyPolicy
from rl_training.core.run.checkpoint import save_policy
from rl_training.core.run.curves import RunCurves
from rl_training.core.sealed import TRAINED_UNTIL
from rl_training.core.trading.features import FeatureStatistics


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run, over all its members. A stopped run has the rewards and losses so far.

    episodes_done       the finished episodes of all members, divided by the number of members and rounded down
    episode_rewards     the reward of each episode, the mean over the members that finished it
    evaluation_or_none  the evaluation on the held-out bars; None for a stopped run, and if no bars are held out
    """

    stopped: bool
    policy: AnyPolicy
    environment: EnvironmentConfig
    statistics: FeatureStatistics
    market_summary: dict[str, Any]
    trained_until: np.datetime64
    environment_steps: int
    episodes_done: int
    episode_rewards: list[float]
    avg_policy_loss: float
    avg_value_loss: float
    curves: RunCurves
    weights_digest: str
    evaluation_or_none: Evaluation | None

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation on the held-out bars. Raises RuntimeError if there is none."""
        if self.evaluation_or_none is None:
            raise RuntimeError("a run that was stopped, or that has no held-out bars, has no evaluation")
        return self.evaluation_or_none

    @property
    def stored_evaluation(self) -> dict[str, Any]:
        """The evaluation as JSON values; empty if no bars are held out."""
        return {} if self.evaluation_or_none is None else self.evaluation_or_none.as_dict()

    @property
    def avg_reward(self) -> float | None:
        """The mean of the episode rewards; None before the first episode has ended."""
        return float(np.mean(self.episode_rewards)) if self.episode_rewards else None

    @property
    def final_reward(self) -> float | None:
        """The reward of the last episode; None before the first episode has ended."""
        return self.episode_rewards[-1] if self.episode_rewards else None

    @property
    def curve(self) -> dict[str, Any]:
        """The course of the run as JSON values; see RunCurves.as_dict()."""
        return self.curves.as_dict()

    def save(self, path: Path, **metadata: Any) -> str:
        """Write the policy with its market, its evaluation and `metadata` into a folder; see save_policy()."""
        notes = {"market": self.market_summary, TRAINED_UNTIL: str(self.trained_until)}
        notes |= {"evaluation": self.stored_evaluation, **metadata}
        return save_policy(path, self.policy, environment=self.environment, statistics=self.statistics, metadata=notes)
