"""Market files in their folder: opens a file inside the folder only, and lists the files that are there."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from itertools import islice
from pathlib import Path

from rl_training.core.market.bars import MarketDataError

# Files with other suffixes are notes and caches: a setting may name them, but lists leave them out.
TABLES = (".csv", ".txt", ".tsv", ".prn", ".parquet", ".feather", ".arrow")
ENDINGS = (*TABLES, ".gz", ".zip", ".zst", ".bz2", ".xz", ".lz4")
# The folder in which `exchange_cache.py` keeps the bars of exchanges.
EXCHANGE_CACHE = "exchange"


def open_under(root: Path, path: str) -> BufferedReader:
    """Return the open regular file `path`, relative to `root`. Raises MarketDataError if it is not inside `root`."""
    if Path(path).is_absolute():
        raise MarketDataError("is an absolute path; name the file relative to MARKET_DATA_ROOT")
    try:
        file = (root / path).resolve()
        if not file.is_relative_to(root.resolve()):
            raise MarketDataError(f"leads outside MARKET_DATA_ROOT, {root}")
        # Without O_NONBLOCK, os.open() of a pipe would wait for a writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise MarketDataError(f"there is no such file under MARKET_DATA_ROOT, {root}") from error
    # Until Python 3.13, resolve() raises RuntimeError for a loop of symbolic links.
    except (OSError, RuntimeError) as error:
        raise MarketDataError(f"cannot be opened: {error}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise MarketDataError("is a directory" if stat.S_ISDIR(mode) else "is not a regular file")
    return os.fdopen(descriptor, "rb")


@contextmanager
def unchanged_while_read(file: BufferedReader) -> Iterator[None]:
    """Raise MarketDataError if the file changes inside the block, in place of any error that the change caused."""

    def state() -> tuple[int, int]:
        now = os.fstat(file.fileno())
        return now.st_size, now.st_mtime_ns

    before = state()
    changed = MarketDataError("changed while it was read; load it again once it is complete")
    try:
        yield
    except MarketDataError as error:
        if state() != before:
            raise changed from error
        raise
    if state() != before:
        raise changed


def check_file(root: Path, path: str) -> None:
    """Raise MarketDataError, with the broken rule, unless `path` is a file inside `root` that can be opened."""
    open_under(root, path).close()


def list_files(root: Path, limit: int) -> list[str]:
    """Return the paths of at most `limit` market files inside `root`, relative to it, in the order of their names.

    A folder that does not exist has no files. Hidden files, the cache of exchanges' bars, and links that lead outside
    are left out. Links to folders are not followed.
    """
    return list(islice(_walk(root.resolve(), root.resolve()), limit))


def _walk(root: Path, folder: Path) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith(".") or path == root / EXCHANGE_CACHE:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, path)
        elif entry.name.lower().endswith(ENDINGS) and entry.is_file() and path.resolve().is_relative_to(root):
            yield path.relative_to(root).as_posix()
