"""The newest closed bars of a market that grows, read from its source without its history.

A growing file is a CSV file at whose end complete lines are appended. A last line without a line break is still being
written, and is left out. A Parquet or compressed file is read as a whole.
"""

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, get_args

import numpy as np

from rl_training.core.config import FeatureName
from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.exchange_series import SETTLING_SECONDS, ExchangeUnavailable, SeriesPages
from rl_training.core.market.file_access import open_under
from rl_training.core.market.files.containers import MAGIC
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.features import longest_window

# Every policy can decide from this many bars.
TAIL = longest_window(get_args(FeatureName)) + 1
# Reading a whole file of WHOLE_FILE_BYTES takes about ten milliseconds. Of a larger file only the last END_BYTES are
# read, which hold more than TAIL bars.
WHOLE_FILE_BYTES, END_BYTES = 2**20, 2**16
# The clocks of two machines differ by less than this.
CLOCK_DIFFERENCE_SECONDS = 5
# The most pages of an exchange that one reading requests.
MOST_PAGES = 50
COMPRESSED = tuple(MAGIC.values())


class ClockError(MarketDataError):
    """All bars of the source end in the future of this machine's clock."""


def tail_of_file(
    config: MarketConfig, root: Path, newest: int | None, now: datetime, columns: Sequence[str] = ()
) -> MarketData:
    """Return the last bars of a file that have closed, TAIL or more if it has so many. Raises MarketDataError.

    They reach back to the bar that opened at `newest`, in seconds since 1970, if the file has it, and have the further
    columns of these names.
    """
    try:
        market = _read_complete(config, root, columns)
        if newest is not None and _first(market) > newest:
            market = _read_complete(config, root, columns, shorten=False)
    except MarketDataError as error:
        error.file = config.path
        raise
    except OSError as error:
        raise MarketDataError(f"cannot be read: {error}", file=config.path) from error
    closed_before = int(now.timestamp()) + CLOCK_DIFFERENCE_SECONDS - market.spacing
    closed = int(np.searchsorted(market.timestamp.view(np.int64), closed_before, side="right"))
    if not closed:
        ahead = int(market.timestamp[0].view(np.int64)) - closed_before
        raise ClockError(f"its bars end {ahead} s or more after this machine's clock", file=config.path)
    return market[:closed]


def _read_complete(config: MarketConfig, root: Path, columns: Sequence[str], *, shorten: bool = True) -> MarketData:
    """Return the bars of the complete lines of a text file, of a large one with `shorten` those at its end."""
    with open_under(root, config.path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.readline(END_BYTES)
        # The first kilobytes of a compressed file may lack the zero byte that other binary files begin with.
        if head.startswith(COMPRESSED) or b"\0" in head or not head.endswith(b"\n"):
            return load_market(config, root=root, columns=columns)
        plain = config.model_copy(update={"path": "", "train_fraction": 0.8})
        if shorten and size > WHOLE_FILE_BYTES and plain == MarketConfig.model_construct(source="file"):
            file.seek(size - END_BYTES)
            file.readline()
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / Path(config.path).name
            _copy_lines(head, file, copy)
            return load_market(config.model_copy(update={"path": copy.name}), root=copy.parent, columns=columns)


def _copy_lines(head: bytes, file: BinaryIO, copy: Path) -> None:
    """Write `head` and the complete lines of the rest of `file`."""
    with copy.open("wb") as lines:
        lines.write(head)
        cut = b""
        while block := file.read(WHOLE_FILE_BYTES):
            complete, end, rest = block.rpartition(b"\n")
            if end:
                lines.writelines((cut, complete, end))
                cut = b""
            cut += rest


def tail_of_exchange(pages: SeriesPages, newest: int | None, now: datetime) -> MarketData | None:
    """Return bars of an exchange that closed at least a minute ago, or None if the exchange answers no bars.

    They begin some bars before the bar that opened at `newest`, in seconds since 1970, so that changes of known bars
    show. Without `newest`, at least TAIL bars are returned. Raises ExchangeUnavailable and other MarketDataErrors.
    """
    spacing = pages.series.spacing
    last = int(now.timestamp()) - SETTLING_SECONDS - spacing
    overlap = min(TAIL, max(pages.limit // 2, 1))
    since = last - last % spacing - (TAIL + overlap) * spacing if newest is None else newest - overlap * spacing
    found: list[MarketData] = []
    for _ in range(MOST_PAGES):
        page = pages.page(since)
        if page is None:
            break
        reached = int(page.timestamp[-1].astype(np.int64))
        fresh = page if not found else _after(page, int(found[-1].timestamp[-1].astype(np.int64)))
        if fresh is not None:
            found.append(fresh)
        if reached <= since or reached + spacing > last:
            break
        since = reached
    if newest is not None and (not found or _first(found[0]) > newest):
        raise ExchangeUnavailable("the exchange answers no bars up to the newest known bar", file=str(pages.series))
    if not found:
        return None
    columns = [np.concatenate([getattr(part, name) for part in found]) for name in COLUMNS]
    market = MarketData(*columns)
    closed = int(np.searchsorted(market.timestamp.view(np.int64), last, side="right"))
    return market[:closed] if closed else None


def recent(market: MarketData, newest: int | None) -> MarketData:
    """Return TAIL bars up to the bar that opened at `newest`, by default the last one, and all later bars."""
    end = len(market)
    if newest is not None:
        end = int(np.searchsorted(market.timestamp.view(np.int64), newest, side="right"))
    return market[max(0, min(end, len(market)) - TAIL) :]


def _first(market: MarketData) -> int:
    return int(market.timestamp[0].astype(np.int64))


def _after(page: MarketData, last: int) -> MarketData | None:
    first = int(np.searchsorted(page.timestamp.astype(np.int64), last, side="right"))
    return page[first:] if first < len(page) else None
