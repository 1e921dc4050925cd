"""The files of a restore, which are removed again if the restore fails."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from rl_training.storage.backup.archive import BackupError, Reader

RESTORED_SETTINGS = "restored.env"


@contextmanager
def restored(reader: Reader, settings_then: IO[bytes]) -> Iterator[None]:
    """Write the files of a backup to their folders. Remove them if this or the block fails. Raises `BackupError`."""
    folders = {"artifacts": storages["artifacts"], "market": _private(settings.MARKET_DATA_ROOT)}
    written: list[tuple[Storage, str]] = []

    def write(storage: Storage, name: str, content: IO[bytes]) -> None:
        written.append((storage, name))
        if storage.save(name, File(content)) != name:
            raise BackupError(f"The backup holds {name}, which cannot be a file.")

    try:
        for member, content in reader.members():
            folder, _, name = member.partition("/")
            if folder in folders:
                write(folders[folder], name, content)
        state = _private(settings.STATE_DIR)
        state.delete(RESTORED_SETTINGS)
        write(state, RESTORED_SETTINGS, settings_then)
        os.sync()
        yield
    except BaseException:
        for storage, name in written:
            _remove(storage, name)
        raise


def _private(folder: Path) -> Storage:
    return FileSystemStorage(folder, file_permissions_mode=0o600, directory_permissions_mode=0o700)


def _remove(storage: Storage, name: str) -> None:
    """Remove a file, and the folders that are empty without it."""
    storage.delete(name)
    for folder in Path(name).parents[:-1]:
        if any(storage.listdir(str(folder))):
            return
        storage.delete(str(folder))
