"""Market files that users upload: written under a hidden name, checked, and then given a name that is safe and free."""

import os
import re
import time
import unicodedata
import uuid
from pathlib import Path

from django.conf import settings

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.file_access import ENDINGS, TABLES
from rl_training.core.market_config import MarketConfig

LONGEST_NAME = 100
# Forms do not offer hidden files, see `list_files`. While the user must confirm a file, its hidden name has its later
# name.
HIDDEN = re.compile(r"\.upload-[0-9a-f]{32}(-(?P<name>[a-z0-9][a-z0-9._-]*))?")
# An upload that no user has confirmed for this time is removed.
ABANDONED_SECONDS = 86_400


class UploadError(Exception):
    """The file cannot be stored; the message says why."""


class NameTakenError(UploadError):
    """A file with this name exists, and the user has not confirmed its replacement."""


def safe_name(name: str) -> str:
    """Return a file name of lower-case ASCII letters, digits, dots, dashes and underscores. Raises UploadError.

    The name has no folder, does not begin with a dot, and has the ending of a file that can be read.
    """
    plain = unicodedata.normalize("NFKD", name.replace("\\", "/").rpartition("/")[2]).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9._]+", "-", plain.lower())
    ending = next((end for end in ENDINGS if plain.endswith(end)), "")
    if not ending:
        raise UploadError(f"the name {name[:LONGEST_NAME]!r} does not end with one of {', '.join(ENDINGS)}")
    stem = plain.removesuffix(ending)
    inner = next((end for end in TABLES if stem.endswith(end) and ending not in TABLES), "")
    stem = re.sub(r"\.\.+", ".", stem.removesuffix(inner)).strip("-._")[: LONGEST_NAME - len(inner + ending)]
    return f"{stem or 'prices'}{inner}{ending}"


def new_upload() -> Path:
    """Return the path of a new hidden file in the folder of market files. Raises OSError."""
    root = settings.MARKET_DATA_ROOT
    root.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root)
    return Path(root / f".upload-{uuid.uuid4().hex}")


def wait_for_answer(upload: Path, name: str) -> Path:
    """Rename the upload so that its hidden name includes `name`, its later name; return it. Raises UploadError."""
    waiting = upload.with_name(f"{upload.name}-{name}")
    try:
        os.rename(upload, waiting)
    except OSError as error:
        raise UploadError(f"{name} cannot be stored: {error.strerror}") from error
    return waiting


def find_upload(hidden: str) -> tuple[Path, str]:
    """Return an upload that waits for the user's answer, and its later name. Raises UploadError."""
    path = Path(settings.MARKET_DATA_ROOT / hidden)
    found = HIDDEN.fullmatch(hidden)
    if not found or not found["name"] or not path.is_file():
        raise UploadError("the uploaded file is no longer there; upload it again")
    return path, found["name"]


def check(upload: Path, name: str) -> str:
    """Return why the uploaded file cannot be used without settings; empty if it can be used."""
    # pyarrow takes 40 MB, so only a process that checks a market imports it.
    from rl_training.core.market.files.price_file import load_file

    try:
        load_file(MarketConfig(source="file", path=upload.name), upload.parent)
    except MarketDataError as error:
        error.file = name
        return str(error)
    return ""


def store(upload: Path, name: str, *, replace: bool) -> None:
    """Give the uploaded file its name. Raises NameTakenError, and UploadError if the file cannot be stored."""
    target = upload.parent / name
    try:
        if replace:
            os.replace(upload, target)
            return
        # A link, unlike a rename, never replaces a file that another request has stored meanwhile.
        os.link(upload, target)
        upload.unlink()
    except FileExistsError:
        raise NameTakenError(f"there is a file {name} already") from None
    except OSError as error:
        raise UploadError(f"{name} cannot be stored: {error.strerror}") from error


def _remove_abandoned(root: Path) -> None:
    before = time.time() - ABANDONED_SECONDS
    for path in root.glob(".upload-*"):
        try:
            if HIDDEN.fullmatch(path.name) and path.stat().st_mtime < before:
                path.unlink()
        except OSError:
            continue
