"""The bars of runs in the artifact storage, once per digest, so that a run can be trained again.

A stored file is never changed. A run writes the digest into its row (`bars_digest`) before it looks for the file, and
`remove_unless()` looks for such a row after it has removed the file. So in any order of events, either the run stores
the file again, or `remove_unless()` puts the file back.
"""

import io
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from rl_training.core.atomic import write_file
from rl_training.core.market.bars import COLUMNS, MarketData

# The folder of all bars. Its hyphen keeps it apart from the folders of policies, whose names have no hyphen.
FOLDER = "market-bars"
NAME = re.compile(r"([0-9a-f]{64})\.npz")


class DamagedBarsError(Exception):
    """The stored bars do not have the digest that names them."""


def store(market: MarketData) -> bool:
    """Store the bars unless they are stored already; return True if this call stored them. Raises `OSError`."""
    if is_stored(market.digest):
        return False
    columns: dict[str, Any] = {name: getattr(market, name) for name in COLUMNS[1:]}
    if market.own:
        # Any text may be the name of a further column, so the names cannot be keys of the archive.
        columns |= {"own_names": np.array(list(market.own)), "own": np.stack(list(market.own.values()))}
    data = io.BytesIO()
    np.savez_compressed(data, timestamp=market.timestamp.astype("<i8"), **columns)
    _write(market.digest, data.getvalue())
    return True


def is_stored(digest: str) -> bool:
    """Return whether there are bars under this digest."""
    return storages["artifacts"].exists(_name(digest))


def fetch(digest: str) -> MarketData:
    """Return the bars of this digest. Raises `FileNotFoundError`, other `OSError`s, and `DamagedBarsError`."""
    data = _read(digest)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as columns:
            seconds = columns["timestamp"].astype("datetime64[s]")
            own = dict(zip(columns["own_names"].tolist(), columns["own"], strict=True)) if "own" in columns else {}
            market = MarketData(seconds, *(columns[name] for name in COLUMNS[1:])).with_own(own)
    except Exception as error:  # a damaged archive raises errors of zipfile, zlib, struct, numpy and others
        raise DamagedBarsError(f"the stored bars {digest} cannot be read: {error}") from error
    if market.digest != digest:
        raise DamagedBarsError(f"the stored bars {digest} are damaged: their digest is {market.digest}")
    return market


def digests() -> list[str]:
    """Return the digests of the stored bars in their order."""
    try:
        names = storages["artifacts"].listdir(FOLDER)[1]
    except FileNotFoundError:
        return []
    return sorted(found[1] for name in names if (found := NAME.fullmatch(name)))


def stored_at(digest: str) -> datetime:
    """Return when the bars were stored. Raises `FileNotFoundError`."""
    return storages["artifacts"].get_modified_time(_name(digest))


def remove_unless(digest: str, needed: Callable[[], bool]) -> bool:
    """Remove the bars, but put them back if `needed` then returns True. Return whether the bars are removed.

    Raises `OSError`.
    """
    data = _read(digest)
    storage = storages["artifacts"]
    storage.delete(_name(digest))
    if needed():
        if not is_stored(digest):
            _write(digest, data)
        return False
    return True


def remove_leftovers(before: datetime) -> int:
    """Remove unfinished files that killed writers left before `before`; return their number. Raises `OSError`."""
    try:
        folder = Path(storages["artifacts"].path(FOLDER))
    except NotImplementedError:
        return 0
    left = [path for path in folder.glob(".*.tmp") if path.stat().st_mtime < before.timestamp()]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _name(digest: str) -> str:
    return f"{FOLDER}/{digest}.npz"


def _read(digest: str) -> bytes:
    with storages["artifacts"].open(_name(digest), "rb") as file:
        data: bytes = file.read()
    return data


def _write(digest: str, data: bytes) -> None:
    storage = storages["artifacts"]
    try:
        path = Path(storage.path(_name(digest)))
    except NotImplementedError:
        storage.save(_name(digest), ContentFile(data))
        return
    # A file storage writes in place: a killed process would leave an incomplete file under the final name.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(path, data)
