"""Files of a run under way, shared by the workers that may take it over; gone when it has finished."""

import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from django.conf import settings

from rl_training.core.atomic import previous, remove_file
from rl_training.models import TrainingRun


def checkpoint_paths(run: TrainingRun) -> list[Path]:
    """Of the present attempt, then of the earlier ones, the latest first.

    An attempt writes its own file alone: a worker that lost its run and does not know it yet spoils nobody's.
    """
    root = Path(settings.CHECKPOINT_ROOT)
    return [root / f"{run.run_id}-{attempt}.safetensors" for attempt in range(run.attempt, 0, -1)]


def log_path(run: TrainingRun) -> Path:
    """Metrics logged until a run was stopped are there when it goes on."""
    return Path(settings.CHECKPOINT_ROOT) / f"{run.run_id}.events"


def remove(run: TrainingRun) -> None:
    for path in checkpoint_paths(run):
        remove_file(path)
        remove_file(previous(path))
    shutil.rmtree(log_path(run), ignore_errors=True)


def remove_old(before: datetime, kept: Collection[str]) -> int:
    """Remove what no worker has touched since `before`, of runs whose ids are not among `kept`; returns how many files.

    A cancelled run keeps its last checkpoint until then, and a worker that was killed at the end of a run leaves one.
    """
    root, removed = Path(settings.CHECKPOINT_ROOT), 0
    for path in root.iterdir() if root.exists() else ():
        if path.name.lstrip(".")[:12] in kept or not _is_older(path, before):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed += 1
    return removed


def _is_older(path: Path, moment: datetime) -> bool:
    """False also where it is gone by now: a worker that has just begun renames what it writes."""
    try:
        return path.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False
