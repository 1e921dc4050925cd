"""The file of a backup: a compressed tar file whose last member holds the digests of all others."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ValidationError

from rl_training.core.atomic import sync

FORMAT = 1
MANIFEST = "manifest.json"
PIECE = 1 << 20


class Manifest(BaseModel):
    """The last member of a backup."""

    format: int
    digests: dict[str, str]
    migrations: list[str]
    columns: dict[str, list[str]]
    without_weights: list[str]


class BackupError(Exception):
    """A backup cannot be made or restored. The message says why. Nothing was changed."""


class Writer:
    """Adds members to the file of a backup, and notes their digests."""

    def __init__(self, archive: tarfile.TarFile, folder: Path) -> None:
        self._archive, self._folder = archive, folder
        self.digests: dict[str, str] = {}

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add a member with this content, which may be larger than memory."""
        digest = hashlib.sha256()
        # A container's /tmp may be memory, and a table may be larger.
        with tempfile.TemporaryFile(dir=self._folder) as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
            member = tarfile.TarInfo(name)
            member.size, member.mode = file.tell(), 0o600
            file.seek(0)
            self._archive.addfile(member, file)
        self.digests[name] = digest.hexdigest()

    def finish(self, **content: Any) -> None:
        """Add the manifest."""
        manifest = {"format": FORMAT, **content, "digests": self.digests}
        self.add(MANIFEST, [json.dumps(manifest, indent=1).encode()])


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Yield a writer of a new file, which gets its name when it is complete. Only this user may read the file."""
    if path.exists():
        raise BackupError(f"{path} exists already; a backup overwrites nothing.")
    # The temporary file is always a new file of this user, whatever other users have put into the folder.
    descriptor, name = tempfile.mkstemp(".partial", f".{path.name}.", path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
                yield Writer(archive, path.parent)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


class Reader:
    """The members of a backup's file."""

    def __init__(self, archive: tarfile.TarFile, manifest: Manifest) -> None:
        self._archive, self.manifest = archive, manifest

    def __contains__(self, name: str) -> bool:
        return name in self.manifest.digests

    def names(self, folder: str) -> list[str]:
        """Return the names of the members below a folder."""
        return [name for name in self.manifest.digests if name.startswith(f"{folder}/")]

    def open(self, name: str) -> IO[bytes]:
        """Return the content of a member. Raises `BackupError` if there is none."""
        if name not in self:
            raise BackupError(f"The backup lacks {name}.")
        return self._archive.extractfile(name) or io.BytesIO()

    def members(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Yield the name and the content of each member in the order of the file."""
        for member in self._archive:
            if member.name != MANIFEST:
                yield member.name, self.open(member.name)


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Compare each member of a file with its digest, then yield the file's reader. Raises `BackupError`."""
    with ExitStack() as stack:
        with _readable(path):
            archive = stack.enter_context(tarfile.open(path, "r:gz"))
            manifest = _checked(path, archive)
        yield Reader(archive, manifest)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}.") from None
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise BackupError(f"{path} is damaged, or is no backup: {error}") from error


def _checked(path: Path, archive: tarfile.TarFile) -> Manifest:
    found: dict[str, str] = {}
    manifest: Manifest | None = None
    for member in archive:
        name = member.name
        if member.type != tarfile.REGTYPE or member.issparse() or not _is_plain(name):
            raise BackupError(f"{path} holds {name}, which cannot be part of a backup.")
        content = archive.extractfile(member) or io.BytesIO()
        if name in found or (name == MANIFEST and manifest):
            raise BackupError(f"{path} is no valid backup: it holds {name} twice.")
        if name == MANIFEST:
            manifest = _manifest(path, content)
            continue
        digest = hashlib.sha256()
        for piece in pieces_of(content):
            digest.update(piece)
        found[name] = digest.hexdigest()
    if manifest is None or manifest.format != FORMAT:
        other = "it has no manifest" if manifest is None else f"format {manifest.format}, not {FORMAT}"
        raise BackupError(f"{path} is incomplete, or of another release: {other}.")
    differing = sorted({*found.items()} ^ {*manifest.digests.items()})
    if differing:
        raise BackupError(f"{path} is damaged: {differing[0][0]} does not have the digest that was stored with it.")
    return manifest


def _is_plain(name: str) -> bool:
    """Return whether a member's name is a plain path: relative, normalised, and inside its first folder."""
    return not name.startswith("/") and not {"", ".", ".."} & {*name.split("/")} and "\0" not in name


def _manifest(path: Path, content: IO[bytes]) -> Manifest:
    try:
        return Manifest.model_validate_json(content.read())
    except ValidationError:
        raise BackupError(f"{path} is damaged: its {MANIFEST} cannot be read.") from None
