"""Policy files in the artifact storage, which Django's STORAGES setting names."""

from contextlib import suppress
from pathlib import Path

from django.core.files import File
from django.core.files.storage import storages

from rl_training.core.atomic import sync


def store(folder: Path, name: str) -> str:
    """Save the files of `folder` under `name`, all or none; return `name`.

    A file storage has written them to the disk by then, because an ended run has no checkpoint to fall back on. Raises
    `FileExistsError` when `name` is not new, and `OSError` when a file cannot be saved.
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


def remove(name: str) -> None:
    """Delete the files that are stored under `name`, if there are any."""
    storage = storages["artifacts"]
    with suppress(FileNotFoundError):
        for file_name in storage.listdir(name)[1]:
            storage.delete(f"{name}/{file_name}")
        storage.delete(name)


def fetch(name: str, folder: Path) -> None:
    """Copy the files stored under `name` into `folder`."""
    for file_name in storages["artifacts"].listdir(name)[1]:
        with storages["artifacts"].open(f"{name}/{file_name}", "rb") as file:
            (folder / file_name).write_bytes(file.read())
