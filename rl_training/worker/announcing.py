"""Publishes the progress of a run on its policy's progress stream."""

import time
from typing import Any

from django.conf import settings

from rl_training.models import TrainingRun
from rl_training.streams import progress


class Announcer:
    """Publishes progress, and pauses after Redis did not take an entry.

    Training waits while an entry is published, so training must not try a Redis that does not answer after every
    episode.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._paused_until = 0.0

    def announce(self, entry: dict[str, Any]) -> None:
        """Publish an entry, or drop it during a pause."""
        if time.monotonic() >= self._paused_until and not progress.publish(self._run, entry):
            self._paused_until = time.monotonic() + settings.PROGRESS_PAUSE_SECONDS
