"""The file of a backup: a compressed tar file whose last member holds the digests of all others."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

FORMAT = 1
MANIFEST = "manifest.json"
# What a manifest holds besides its format.
PARTS = (("digests", dict), ("migrations", list), ("columns", dict), ("without_weights", list))
PIECE = 1 << 20


class BackupError(Exception):
    """A backup cannot be made or restored. The message says why, and that nothing was changed."""


class Writer:
    """Adds members to the file of a backup, and notes their digests."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.digests: dict[str, str] = {}

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add a member with this content, which may be larger than memory."""
        digest = hashlib.sha256()
        with tempfile.TemporaryFile() as file:
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
    """Yield a writer of a new file, which appears under its name once it is complete. Only this user may read it."""
    if path.exists():
        raise BackupError(f"{path} exists already; a backup overwrites nothing.")
    partial = path.with_name(f".{path.name}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def pieces_of(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


class Reader:
    """The members of a backup's file."""

    def __init__(self, archive: tarfile.TarFile, manifest: dict[str, Any]) -> None:
        self._archive, self.manifest = archive, manifest

    def __contains__(self, name: str) -> bool:
        return name in self.manifest["digests"]

    def names(self, folder: str) -> list[str]:
        """Return the names of the members below a folder."""
        return [name for name in self.manifest["digests"] if name.startswith(f"{folder}/")]

    def open(self, name: str) -> IO[bytes]:
        return self._archive.extractfile(name) or io.BytesIO()

    def members(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Yield the name and the content of each member in the order of the file."""
        for member in self._archive:
            if member.name != MANIFEST:
                yield member.name, self.open(member.name)


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Yield the reader of a file after each of its members was compared with its digest. Raises `BackupError`."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            yield Reader(archive, _checked(path, archive))
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError | PermissionError):
            raise BackupError(f"{path} cannot be read: {error.strerror}.") from None
        raise BackupError(f"{path} is damaged, or is no backup: {error}") from error


def _checked(path: Path, archive: tarfile.TarFile) -> dict[str, Any]:
    found: dict[str, str] = {}
    manifest: dict[str, Any] = {}
    for member in archive:
        if not member.isreg() or member.name.startswith("/") or ".." in Path(member.name).parts:
            raise BackupError(f"{path} holds {member.name}, which no backup holds.")
        content = archive.extractfile(member) or io.BytesIO()
        if member.name in found or (member.name == MANIFEST and manifest):
            raise BackupError(f"{path} holds {member.name} twice, which no backup does.")
        if member.name == MANIFEST:
            manifest = _manifest(path, content)
            continue
        digest = hashlib.sha256()
        for piece in pieces_of(content):
            digest.update(piece)
        found[member.name] = digest.hexdigest()
    if manifest.get("format") != FORMAT:
        raise BackupError(
            f"{path} is incomplete, or of another release: format {manifest.get('format')!r}, not {FORMAT}."
        )
    differing = sorted({*found.items()} ^ {*manifest["digests"].items()})
    if differing:
        raise BackupError(f"{path} is damaged: {differing[0][0]} does not have the digest that was stored with it.")
    return manifest


def _manifest(path: Path, content: IO[bytes]) -> dict[str, Any]:
    try:
        manifest = json.load(content)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(name), kind) for name, kind in PARTS):
        raise BackupError(f"{path} is damaged: its {MANIFEST} cannot be read.")
    return manifest
