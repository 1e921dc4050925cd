"""Files of unfinished runs, in a folder that all workers share, so that any worker can resume a run."""

import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from rl_training.core.atomic import previous, remove_file
from rl_training.core.run.tally import saved_results
from rl_training.core.sealed import CheckpointError
from rl_training.models import TrainingRun, ValidationStep

TEMPORARY = ".tmp"
# The names of all files and folders of this module begin with the work's id, and after a dot while they are written.
NAME = re.compile(r"\.?([0-9a-f]{12})[-.].+")
# What is trained: a run, or a fold of a walk-forward.
Trained = TrainingRun | ValidationStep

log = structlog.get_logger(__name__)


def checkpoint_paths(work: Trained) -> list[Path]:
    """Return the checkpoint's path of the current attempt, then of earlier attempts, the latest first.

    Each attempt writes its own file, because a worker that lost its run without noticing may still write.
    """
    root = Path(settings.CHECKPOINT_ROOT)
    return [root / f"{work.checkpoint_id}-{attempt}.safetensors" for attempt in range(work.attempt, 0, -1)]


def results_so_far(run: TrainingRun) -> dict[str, Any]:
    """Return the columns of the run at its latest usable checkpoint; empty if there is no such file."""
    for written in checkpoint_paths(run):
        for path in (written, previous(written)):
            try:
                if path.exists():
                    return saved_results(path)
            except CheckpointError as error:
                log.warning("Checkpoint cannot be used", run_id=run.run_id, error=str(error))
    return {}


def log_path(work: Trained) -> Path:
    """Return the folder of the work's metrics, which all of its attempts write."""
    return Path(settings.CHECKPOINT_ROOT) / f"{work.checkpoint_id}.events"


@contextmanager
def temporary_folder(work: Trained) -> Iterator[Path]:
    """Make a folder for the current attempt and delete it afterwards.

    The folder's name has the work's id, so the folder of a killed process is deleted with the other files of the work.
    """
    root = Path(settings.CHECKPOINT_ROOT)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    prefix = f"{work.checkpoint_id}-{work.attempt}."
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=TEMPORARY, dir=root) as folder:
        yield Path(folder)


def remove(work: Trained) -> None:
    """Delete the checkpoints, metrics and temporary folders of all attempts."""
    for folder in Path(settings.CHECKPOINT_ROOT).glob(f"{work.checkpoint_id}-*{TEMPORARY}"):
        shutil.rmtree(folder, ignore_errors=True)
    for path in checkpoint_paths(work):
        remove_file(path)
        remove_file(previous(path))
    shutil.rmtree(log_path(work), ignore_errors=True)


def remove_old(before: datetime, kept: Collection[str]) -> int:
    """Delete files and folders that were last changed before `before`, except those of the work with the ids `kept`.

    Such files are the last checkpoints of cancelled runs, and files of workers that were killed at the end of a run.
    Other files stay: the folder may also hold artifacts, market files or files of other programs.
    Returns the number of deleted files and folders. Raises `OSError`.
    """
    root, removed = Path(settings.CHECKPOINT_ROOT), 0
    for path in root.iterdir() if root.exists() else ():
        found = NAME.fullmatch(path.name)
        if found is None or found[1] in kept or not _is_older(path, before):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed += 1
    return removed


def _is_older(path: Path, time: datetime) -> bool:
    """Return whether the file was last changed before `time`; False if it is gone, for example renamed by a worker."""
    try:
        return path.stat().st_mtime < time.timestamp()
    except FileNotFoundError:
        return False
