"""Running statistics that standardise observations and scale rewards.

They change only between rollouts, so that all actions, values and probabilities of a rollout come from one policy.
"""

import numpy as np
import numpy.typing as npt
import torch

from rl_training.core.ppo.compiled_policy import OBSERVATION_CLIP, observation_scale

Array = npt.NDArray[np.float64]
REWARD_CLIP = 10.0


class RunningStatistics:
    """Mean and variance of all rows so far, float64 [size] each. Before the first row they are 0 and 1.

    Batches are merged by the formula of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances" (1979).
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean: Array = np.zeros(size)
        self.variance: Array = np.ones(size)

    def update(self, rows: npt.NDArray[np.floating]) -> None:
        """Add `rows`, [n, size]."""
        if not len(rows):
            return
        total = self.count + len(rows)
        difference = rows.mean(axis=0, dtype=np.float64) - self.mean
        squares = self.variance * self.count + rows.var(axis=0, dtype=np.float64) * len(rows)
        squares += difference**2 * (self.count * len(rows) / total)
        self.mean = self.mean + difference * (len(rows) / total)
        self.variance = squares / total
        self.count = total

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {
            "count": torch.tensor(self.count),
            "mean": torch.from_numpy(self.mean.copy()),
            "variance": torch.from_numpy(self.variance.copy()),
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.count = int(state["count"])
        self.mean = state["mean"].numpy().copy()
        self.variance = state["variance"].numpy().copy()


class ObservationNormaliser:
    """Standardises observations by running statistics and clips them to +-10 deviations.

    Observation normalisation and clipping in Huang et al., "The 37 Implementation Details of Proximal Policy
    Optimization" (2022).
    """

    def __init__(self, size: int) -> None:
        self.statistics = RunningStatistics(size)
        self._refresh()

    def _refresh(self) -> None:
        self.mean = torch.from_numpy(self.statistics.mean.astype(np.float32))
        self.scale = torch.from_numpy(observation_scale(self.statistics.variance))

    def __call__(self, observations: torch.Tensor) -> torch.Tensor:
        """Return `observations`, float32 [n, size] on the CPU, standardised and clipped."""
        return ((observations - self.mean) * self.scale).clamp_(-OBSERVATION_CLIP, OBSERVATION_CLIP)

    def update(self, observations: npt.NDArray[np.float32]) -> None:
        """Add `observations`, [n, size], to the statistics."""
        self.statistics.update(observations)
        self._refresh()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.statistics.state_dict()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.statistics.load_state_dict(state)
        self._refresh()


class RewardScaler:
    """Divides rewards by the running deviation of the environments' discounted returns, and clips them to +-10.

    The mean is not subtracted: shifted rewards could change which policy is best. Reward scaling and clipping in Huang
    et al., "The 37 Implementation Details of Proximal Policy Optimization" (2022).
    """

    def __init__(self, statistics: RunningStatistics, num_envs: int, gamma: float) -> None:
        self.statistics = statistics
        self.gamma = gamma
        self.returns: Array = np.zeros(num_envs)

    def __call__(self, rewards: Array, ended: npt.NDArray[np.bool_], valid: npt.NDArray[np.bool_]) -> Array:
        """Add `rewards` to the statistics, and return them scaled; all arrays are [steps, num_envs].

        `ended` is True in an episode's last step, `valid` is False where the environment only restarted.
        """
        returns = np.empty_like(rewards)
        for step in range(len(rewards)):
            returns[step] = self.returns = self.returns * self.gamma + rewards[step]
            self.returns = np.where(ended[step], 0.0, self.returns)
        self.statistics.update(returns[valid][:, None])
        # 1e-12 is small compared with the variance of rewards of one-minute bars, about 1e-10.
        scale = 1.0 / np.sqrt(self.statistics.variance + 1e-12)
        return np.clip(rewards * scale, -REWARD_CLIP, REWARD_CLIP)
