"""A run's metrics as TensorBoard event files, where the package `tensorboard` is installed."""

import importlib.util
from pathlib import Path
from typing import Any, Protocol

from rl_training.core.ppo.ppo import Iteration


class MetricsLog(Protocol):
    """Where the metrics of a run go, iteration by iteration."""

    def write(self, iteration: Iteration) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class NoLog:
    """Keeps nothing: no folder was named, or `tensorboard` is not installed."""

    def write(self, iteration: Iteration) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class EventFile:
    """A file `events.out.tfevents...` in `folder`; the horizontal axis is the environment steps made."""

    def __init__(self, folder: Path, timesteps: int) -> None:
        # tensorboard is optional, and its import takes long.
        from torch.utils.tensorboard import SummaryWriter

        # What a lost attempt logged beyond the checkpoint that this one goes on from is made again.
        purge = timesteps + 1 if timesteps else None
        untyped: Any = SummaryWriter
        self._writer = untyped(str(folder), purge_step=purge)

    def write(self, iteration: Iteration) -> None:
        for name, value in iteration.metrics.items():
            self._writer.add_scalar(name, value, iteration.timesteps)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def open_log(folder: Path | None, timesteps: int) -> MetricsLog:
    """A log in `folder` of a run that has made `timesteps` environment steps so far."""
    if folder is None or importlib.util.find_spec("tensorboard") is None:
        return NoLog()
    return EventFile(folder, timesteps)
