"""The curves of a run: its episode rewards, PPO's metrics and held-out rewards, in few points for any length."""

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from rl_training.core.ppo.ppo import Iteration

# The names of the curves among the tensors of a checkpoint begin with this.
CURVES = "curves"
# The most points of a curve, an even number. A chart on a page has fewer pixels.
POINTS = 200
# The name of each metric in a curve, and in the metrics of an iteration.
METRICS = {
    "entropy": "train/entropy_loss",
    "approx_kl": "train/approx_kl",
    "clip_fraction": "train/clip_fraction",
    "explained_variance": "train/explained_variance",
    "policy_loss": "train/policy_gradient_loss",
    "value_loss": "train/value_loss",
}
REWARD = "reward"


def metrics_of(iteration: "Iteration") -> dict[str, float]:
    """Return the metrics of an iteration by their names in a curve; a value that is missing or not finite is left out.

    The entropy is the negative of stable-baselines3's entropy loss, in nats.
    """
    found = {name: iteration.metrics.get(key, math.nan) for name, key in METRICS.items()}
    found["entropy"] = -found["entropy"]
    return {name: value for name, value in found.items() if math.isfinite(value)}


class Curve:
    """Means of metrics over neighbouring entries, in at most `POINTS` points.

    Entries come in the order of their places. The members of a run train one after the other, so the places repeat with
    each member: a repeated entry counts in the mean of the point that covers its place.

    Each point covers `width` entries. Once all points are complete, they are merged in pairs and `width` doubles, so a
    curve depends only on its entries, not on when they came or where the run was resumed. The last point may cover
    fewer entries. `places` are the numbers of each point's last entry.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.width, self.entries = 1, 0
        self.places = np.zeros(POINTS)
        self.sums, self.counts = np.zeros((POINTS, len(names))), np.zeros((POINTS, len(names)))

    def add(self, place: int, values: Mapping[str, float]) -> None:
        """Add an entry; a missing value does not count in its point's mean."""
        point = self._point(place)
        for column, name in enumerate(self.names):
            if name in values:
                self.sums[point, column] += values[name]
                self.counts[point, column] += 1

    def _point(self, place: int) -> int:
        """Return the point that covers a place; a place beyond all others extends the curve."""
        points = math.ceil(self.entries / self.width)
        if points and place <= self.places[points - 1]:
            return int(np.searchsorted(self.places[:points], place))
        if self.entries == POINTS * self.width:
            self._merge()
        point = self.entries // self.width
        self.places[point] = place
        self.entries += 1
        return point

    def _merge(self) -> None:
        self.width *= 2
        self.places = np.concatenate([self.places[1::2], np.zeros(POINTS // 2)])
        for name in ("sums", "counts"):
            pairs = getattr(self, name).reshape(POINTS // 2, 2, -1).sum(axis=1)
            setattr(self, name, np.concatenate([pairs, np.zeros_like(pairs)]))

    def as_dict(self) -> dict[str, Any]:
        """Return the curve as JSON values: `x`, a list for each metric with None for a missing mean, and `width`."""
        points = math.ceil(self.entries / self.width)
        counts = self.counts[:points]
        means = np.divide(self.sums[:points], counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        columns = {name: [_short(mean) for mean in column] for name, column in zip(self.names, means.T, strict=True)}
        return {"x": [int(place) for place in self.places[:points]], **columns, "width": self.width}

    def tensors(self) -> "dict[str, Tensor]":
        """Return all that load_tensors() needs to continue the curve."""
        import torch  # Imported here, because processes that only read curves have no torch.

        size = torch.tensor([self.width, self.entries])
        arrays = {name: torch.from_numpy(getattr(self, name).copy()) for name in ("places", "sums", "counts")}
        return {"size": size, **arrays}

    def load_tensors(self, tensors: "Mapping[str, Tensor | np.ndarray[Any, Any]]") -> None:
        """Continue the curve of tensors(), or of arrays with their values.

        Missing tensors, and metrics of another release, are ignored.
        """
        if "size" not in tensors or tuple(tensors["sums"].shape) != self.sums.shape:
            return
        self.width, self.entries = tensors["size"].tolist()
        for name in ("places", "sums", "counts"):
            setattr(self, name, np.asarray(tensors[name]).copy())


class RunCurves:
    """The curves of a run, means over its members. Training adds to them while another thread may read them."""

    def __init__(self) -> None:
        self._curves = {
            "episodes": Curve([REWARD]),
            "iterations": Curve([*METRICS]),
            "held_out": Curve(["training_reward", "held_out_reward"]),
        }
        self._lock = threading.Lock()

    def add_iteration(self, iteration: "Iteration") -> None:
        """Add an iteration of a member, which counts its iterations from 1."""
        with self._lock:
            self._curves["iterations"].add(iteration.iteration, metrics_of(iteration))

    def add_episodes(self, rewards: Iterable[tuple[int, float]]) -> None:
        """Add finished episodes: the number of each, counted from 1, and its reward."""
        with self._lock:
            for episode, reward in rewards:
                self._curves["episodes"].add(episode, {REWARD: reward} if math.isfinite(reward) else {})

    def add_held_out(self, iteration: int, rewards: Mapping[str, float]) -> None:
        """Add the training and the held-out reward of a member after an iteration; see held_out.Rewards.named()."""
        with self._lock:
            self._curves["held_out"].add(iteration, rewards)

    def as_dict(self) -> dict[str, Any]:
        """Return the curves `episodes`, `iterations` and `held_out` as JSON values; see Curve.as_dict()."""
        with self._lock:
            return {name: curve.as_dict() for name, curve in self._curves.items()}

    def tensors(self, prefix: str) -> "dict[str, Tensor]":
        """Return all that load_tensors() needs, with names that begin with `prefix` and a dot."""
        curves = self._curves.items()
        return {f"{prefix}.{name}.{key}": value for name, curve in curves for key, value in curve.tensors().items()}

    def load_tensors(self, tensors: "Mapping[str, Tensor | np.ndarray[Any, Any]]", prefix: str) -> None:
        """Continue the curves of tensors(); curves that `tensors` does not hold begin empty."""
        for name, curve in self._curves.items():
            keys = (key for key in tensors if key.startswith(f"{prefix}.{name}."))
            curve.load_tensors({key.rpartition(".")[2]: tensors[key] for key in keys})


def _short(value: float) -> float | None:
    """Return the value with six significant digits, which take a third of the bytes; None for a missing value."""
    return None if math.isnan(value) else float(f"{value:.6g}")
