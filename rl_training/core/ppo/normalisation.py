"""Running statistics by which observations are standardised and rewards are scaled.

They change between rollouts only: within one rollout every step, value and probability is of one and the same policy.
"""

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]
OBSERVATION_CLIP = 10.0
REWARD_CLIP = 10.0


class RunningStatistics:
    """Mean and variance of all rows seen so far, [size] each, in float64.

    Batches are merged by the formula of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances" (1979). Before the first row the mean is 0 and the variance 1.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean: Array = np.zeros(size)
        self.variance: Array = np.ones(size)

    def update(self, rows: npt.NDArray[np.floating]) -> None:
        """Take in `rows`, [n, size]."""
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
    """Standardises observations by running statistics and clips them to +-10 deviations."""

    def __init__(self, size: int) -> None:
        self.statistics = RunningStatistics(size)
        self._refresh()

    def _refresh(self) -> None:
        self.mean = torch.from_numpy(self.statistics.mean.astype(np.float32))
        self.scale = torch.from_numpy((1.0 / np.sqrt(self.statistics.variance + 1e-8)).astype(np.float32))

    def __call__(self, observations: torch.Tensor) -> torch.Tensor:
        """`observations`, float32 [n, size] on the CPU, standardised."""
        return ((observations - self.mean) * self.scale).clamp_(-OBSERVATION_CLIP, OBSERVATION_CLIP)

    def update(self, observations: npt.NDArray[np.float32]) -> None:
        self.statistics.update(observations)
        self._refresh()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.statistics.state_dict()

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.statistics.load_state_dict(state)
        self._refresh()


class RewardScaler:
    """Divides rewards by the running deviation of the discounted return of each environment, and clips them to +-10.

    The mean is left alone: shifting rewards would change which policy is best. As in Huang et al., "The 37
    implementation details of proximal policy optimization" (2022), reward scaling and reward clipping.
    """

    def __init__(self, statistics: RunningStatistics, num_envs: int, gamma: float) -> None:
        self.statistics = statistics
        self.gamma = gamma
        self.returns: Array = np.zeros(num_envs)

    def __call__(self, rewards: Array, ended: npt.NDArray[np.bool_], valid: npt.NDArray[np.bool_]) -> Array:
        """Scale `rewards`, [steps, num_envs], after taking them into the statistics.

        `ended` marks the last step of an episode, `valid` the steps that are not a mere reset.
        """
        returns = np.empty_like(rewards)
        for step in range(len(rewards)):
            returns[step] = self.returns = self.returns * self.gamma + rewards[step]
            self.returns = np.where(ended[step], 0.0, self.returns)
        self.statistics.update(returns[valid][:, None])
        # Small beside the variance of one-minute bars, whose rewards are of the order of 1e-5.
        scale = 1.0 / np.sqrt(self.statistics.variance + 1e-12)
        return np.clip(rewards * scale, -REWARD_CLIP, REWARD_CLIP)
