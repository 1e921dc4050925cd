"""TensorBoard event files with the metrics of a run, if the package `tensorboard` is installed."""

import importlib.util
from pathlib import Path
from typing import Any, Protocol

from rl_training.core.ppo.ppo import Iteration


class MetricsLog(Protocol):
    """Receives the metrics of a run, iteration by iteration."""

    def write(self, iteration: Iteration) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class NoLog:
    """Discards all metrics, because no folder was given or `tensorboard` is not installed."""

    def write(self, iteration: Iteration) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class EventFile:
    """Writes a file `events.out.tfevents...` in `folder`. The horizontal axis is the number of environment steps."""

    def __init__(self, folder: Path, timesteps: int) -> None:
        # Imported here, because the module is part of torch, optional, and takes seconds to import.
        from torch.utils.tensorboard import SummaryWriter

        # A lost attempt may have logged steps after the checkpoint. This attempt repeats them, so they are purged.
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
    """Return a log in `folder` for a run that has made `timesteps` environment steps so far."""
    if folder is None or importlib.util.find_spec("tensorboard") is None:
        return NoLog()
    return EventFile(folder, timesteps)
