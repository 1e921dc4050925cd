"""Policy files in the artifact storage, which Django's STORAGES setting names."""

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.files import File
from django.core.files.storage import storages

from rl_training.core.atomic import sync
from rl_training.models import TrainingRun

if TYPE_CHECKING:
    from rl_training.core.run.checkpoint import SavedPolicy


def name_of(run: TrainingRun, attempt: int) -> str:
    """Return the name of an attempt's artifact. Each attempt has its own, because earlier attempts may leave files."""
    return f"{run.policy.name}/{run.run_id}-{attempt}"


def store(folder: Path, name: str) -> str:
    """Save the files of `folder` under `name`, all or none; return `name`.

    On a file storage, the files are flushed to the disk, because a run that has ended has no checkpoint to resume from.
    Raises `FileExistsError` when `name` is not new, and `OSError` when a file cannot be saved.
    """
    storage = storages["artifacts"]
    names = {path: f"{name}/{path.name}" for path in sorted(folder.iterdir())}
    for stored in names.values():
        if storage.exists(stored):
            raise FileExistsError(f"artifact {stored} exists already; an artifact is never overwritten")
    try:
        for path, stored in names.items():
            with path.open("rb") as file:
                storage.save(stored, File(file))
        with suppress(NotImplementedError):
            there = Path(storage.path(name))
            for path in [*there.iterdir(), there, there.parent]:
                sync(path)
    except OSError:
        remove(name)
        raise
    return name


def remove(name: str) -> bool:
    """Delete the files that are stored under `name`; return whether any file was there."""
    if not name:
        raise ValueError("an artifact without a name has no files; the storage's own folder is never removed")
    storage, found = storages["artifacts"], False
    with suppress(FileNotFoundError):
        for file_name in storage.listdir(name)[1]:
            storage.delete(f"{name}/{file_name}")
            found = True
        storage.delete(name)
    return found


def remove_unreferenced(runs: Sequence[TrainingRun]) -> list[str]:
    """Delete the artifacts of these runs' attempts that no version refers to; return their names.

    A process that ends between storing and committing leaves such an artifact. The runs must have ended; they come from
    `with_lost_artifacts()`. Raises `OSError`.
    """
    names = []
    for run in runs:
        version = getattr(run, "version", None)
        kept = version.artifact if version else None
        attempts = (name_of(run, attempt) for attempt in range(1, run.attempt + 1))
        names += [name for name in attempts if name != kept and remove(name)]
    return names


def fetch(name: str, folder: Path) -> None:
    """Copy the files stored under `name` into `folder`.

    Raises `FileNotFoundError` if there are no files, and for the empty name of a version whose weights were removed.
    """
    if not name:
        raise FileNotFoundError("its weights were removed")
    for file_name in storages["artifacts"].listdir(name)[1]:
        with storages["artifacts"].open(f"{name}/{file_name}", "rb") as file:
            (folder / file_name).write_bytes(file.read())


def read(name: str, file_name: str) -> bytes:
    """Return a file that is stored under `name`. Raises `FileNotFoundError`, and other `OSError`s of the storage."""
    if not name:
        raise FileNotFoundError("an artifact without a name has no files")
    with storages["artifacts"].open(f"{name}/{file_name}", "rb") as file:
        data: bytes = file.read()
    return data


def load(name: str) -> "SavedPolicy":
    """Return the policy stored under `name`.

    Raises `CheckpointError` when a file is damaged, `FileNotFoundError` when there is no file, and `OSError` when the
    storage does not answer.
    """
    from rl_training.core.run.checkpoint import load_policy  # torch: web and beat import this module

    with tempfile.TemporaryDirectory() as folder:
        fetch(name, Path(folder))
        return load_policy(Path(folder))
