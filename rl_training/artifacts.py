"""Policy files in the artifact storage, which Django's STORAGES setting names."""

from contextlib import suppress
from pathlib import Path

from django.core.files import File
from django.core.files.storage import storages

from rl_training.core.atomic import sync


def store(folder: Path, name: str) -> str:
    """Save the files of `folder` under `name`, which must be new; returns `name`.

    In a storage of files they are on the disk then: a run that has ended has no checkpoint any more to fall back on.
    """
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            saved = storages["artifacts"].save(f"{name}/{path.name}", File(file))
        if saved != f"{name}/{path.name}":
            storages["artifacts"].delete(saved)
            raise FileExistsError(f"artifact {name}/{path.name} exists already; an artifact is never overwritten")
    with suppress(NotImplementedError):
        stored = Path(storages["artifacts"].path(name))
        for path in [*stored.iterdir(), stored, stored.parent]:
            sync(path)
    return name


def fetch(name: str, folder: Path) -> None:
    """Copy the files stored under `name` into `folder`."""
    for file_name in storages["artifacts"].listdir(name)[1]:
        with storages["artifacts"].open(f"{name}/{file_name}", "rb") as file:
            (folder / file_name).write_bytes(file.read())
