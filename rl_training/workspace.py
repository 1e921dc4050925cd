"""Files of a run under way, shared by the workers that may take it over; gone when it has finished."""

import shutil
from pathlib import Path

from django.conf import settings

from rl_training.core.atomic import previous, remove_file
from rl_training.models import TrainingRun


def checkpoint_path(run: TrainingRun) -> Path:
    return Path(settings.CHECKPOINT_ROOT) / f"{run.run_id}.safetensors"


def log_path(run: TrainingRun) -> Path:
    """Metrics logged until a run was stopped are there when it goes on."""
    return checkpoint_path(run).with_suffix(".events")


def remove(run: TrainingRun) -> None:
    remove_file(checkpoint_path(run))
    remove_file(previous(checkpoint_path(run)))
    shutil.rmtree(log_path(run), ignore_errors=True)
