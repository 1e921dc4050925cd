"""Files and folders that are either all there or not there at all, whatever happens while they are written."""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from rl_training.core import fault_points


def write_file(path: Path, data: bytes, *, keep_previous: bool = False) -> None:
    """Put a file in place of `path`, on the disk when this returns. On OSError the one before stands.

    With `keep_previous` it is at previous(path) afterwards: killed between the two renames, there alone.
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
    """Put a folder of these files in place of `path`, on the disk when this returns. On OSError the one before stands.

    No rename replaces a folder that is not empty, so one that is there already is moved aside first: killed in that
    instant, neither is at `path`, and the one before is beside it.
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
    """Where the file is kept that was at `path` before, by those who keep it."""
    return path.with_name(f"{path.name}.previous")


def remove_file(path: Path) -> None:
    """Remove `path`, if it is there, and what writers that were killed have left beside it."""
    for leftover in [path, *path.parent.glob(f".{path.name}.*.tmp")]:
        leftover.unlink(missing_ok=True)


def _sibling(path: Path) -> Path:
    """A name on the same file system, as renames need, that no other writer uses."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Let a file, or what a folder's names stand for, be on the disk: renames are once their folder itself is."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
