"""The bytes that each part of the system uses, and the free bytes on its disks."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import connection

from rl_training.files.bars import FOLDER as BARS

# The settings that name folders. Folders on the same disk count as one disk, named by the first of these settings.
FOLDERS = ("STATE_DIR", "ARTIFACT_ROOT", "CHECKPOINT_ROOT", "MARKET_DATA_ROOT")


def parts() -> dict[str, int]:
    """Return the bytes of each part; a part that cannot be read, or that is stored elsewhere, is left out."""
    artifacts, state = Path(settings.ARTIFACT_ROOT), Path(settings.STATE_DIR)
    readers: dict[str, Callable[[], int]] = {
        "database": database_bytes,
        "weights": lambda: folder_bytes(artifacts) - folder_bytes(artifacts / BARS),
        "bars": lambda: folder_bytes(artifacts / BARS),
        "checkpoints": lambda: folder_bytes(Path(settings.CHECKPOINT_ROOT)),
        "market": lambda: folder_bytes(Path(settings.MARKET_DATA_ROOT)),
    }
    # A separate Redis server, and containers, keep their data and logs elsewhere.
    for name in ("redis", "logs"):
        if (state / name).is_dir():
            readers[name] = partial(folder_bytes, state / name)
    found = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except OSError:
            continue
    return found


def database_bytes() -> int:
    """Return the size of the database; of PostgreSQL's, without its transaction logs."""
    sqlite = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    server = "SELECT pg_database_size(current_database())"
    with connection.cursor() as cursor:
        cursor.execute(sqlite if connection.vendor == "sqlite" else server)
        return int(cursor.fetchone()[0])


def folder_bytes(folder: Path) -> int:
    """Return the bytes that the files below a folder take on their disk; 0 if the folder does not exist."""
    return sum(_file_bytes(folder))


def _file_bytes(folder: Path | str) -> Iterator[int]:
    try:
        entries = [*os.scandir(folder)]
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _file_bytes(entry.path)
            continue
        # Retention may remove a file meanwhile, or a worker may rename it.
        try:
            yield 512 * entry.stat(follow_symlinks=False).st_blocks
        except FileNotFoundError:
            continue


def disks() -> dict[str, dict[str, int]]:
    """Return the total and the free bytes of each disk, by the first setting of FOLDERS that names a folder on it."""
    found: dict[int, tuple[str, Path]] = {}
    for name in FOLDERS:
        folder = Path(getattr(settings, name))
        there = next(path for path in (folder, *folder.parents) if path.exists())
        found.setdefault(there.stat().st_dev, (name, there))
    sizes = {name: shutil.disk_usage(path) for name, path in found.values()}
    return {name: {"total": size.total, "free": size.free} for name, size in sizes.items()}
