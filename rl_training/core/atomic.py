"""Atomic writing of files and folders: after a crash they are either complete or missing."""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from rl_training.core import fault_points


def write_file(path: Path, data: bytes, *, keep_previous: bool = False) -> None:
    """Replace the file at `path`; the data is on the disk when the function returns.

    With `keep_previous`, the old file is afterwards at previous(path). A process that is killed between the two renames
    leaves only the file at previous(path). Raises OSError, and then leaves the old file at `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path)
    try:
        _write(temporary, data)
        fault_points.reach("file_written")
        if keep_previous and path.exists():
            os.replace(path, previous(path))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Replace the folder at `path` by a folder with these files; the data is on the disk when the function returns.

    A rename cannot replace a folder that is not empty, so an old folder is moved aside first. A process that is killed
    between the two renames leaves no folder at `path`, and the old one beside it. Raises OSError, and then leaves the
    old folder at `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, aside = _sibling(path), _sibling(path)
    try:
        temporary.mkdir()
        for name, data in files.items():
            _write(temporary / name, data)
        sync(temporary)
        if path.exists():
            os.rename(path, aside)
        try:
            os.rename(temporary, path)
        except OSError:
            if aside.exists():
                os.rename(aside, path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync(path.parent)
    shutil.rmtree(aside, ignore_errors=True)


def previous(path: Path) -> Path:
    """Return where write_file() keeps the old file of `path`."""
    return path.with_name(f"{path.name}.previous")


def remove_file(path: Path) -> None:
    """Remove `path`, if it exists, and the temporary files that killed writers left beside it."""
    for leftover in [path, *path.parent.glob(f".{path.name}.*.tmp")]:
        leftover.unlink(missing_ok=True)


def _sibling(path: Path) -> Path:
    """Return an unused path in the same folder, because a rename cannot cross file systems."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Write a file's data, or a folder's entries, through to the disk. Syncing a folder also writes its renames."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
