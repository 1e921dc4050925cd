"""The timestamps at both ends of a market file, read without prices: they show which rows are new."""

import json
import os
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.columns import TimestampFormat, locate_columns
from rl_training.core.market.file_access import open_under, unchanged_while_read
from rl_training.core.market.files.containers import content_of
from rl_training.core.market.files.head import read_head
from rl_training.core.market.files.plain import PARQUET_MAGIC, csv_header
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market.files.recognition import plan_text
from rl_training.core.market.files.tables import ParquetTable, as_plain
from rl_training.core.market_config import FILE_FIELDS, MarketConfig
from rl_training.core.market_layouts import PLAIN

# About 70,000 rows, which take some 10 ms.
BYTES_AT_END = 4 * 2**20
# The most rows of a Parquet file, because all its timestamps are read.
MOST_KEPT = 100_000
FILES_KEPT = 16

Seconds = NDArray[np.int64]


class FileEnds(NamedTuple):
    """Timestamps of the first and the last rows, in seconds since 1970; both are those of all rows if `whole`."""

    first: Seconds
    last: Seconds
    whole: bool


def count_rows_after(time: int, config: MarketConfig, root: Path) -> int | None:
    """Return how many rows of the file have a timestamp after `time`, in seconds since 1970; None if too many to count.

    At most 4 MiB at each end of a plain CSV file are read, because its rows are in time order, with the newest at
    either end. A file in another layout is read as a whole. A file that is unchanged since it was last read is not read
    again. Raises MarketDataError for a file that cannot be read.
    """
    with open_under(root, config.path) as file:
        state = os.fstat(file.fileno())
    ends = read_ends(config.model_dump_json(include={"path", *FILE_FIELDS}), root, state.st_size, state.st_mtime_ns)
    if not ends.whole and ((ends.first > time).all() or (ends.last > time).all()):
        return None
    times = np.union1d(ends.first, ends.last)
    return int((times > time).sum())


@lru_cache(FILES_KEPT)
def read_ends(settings: str, root: Path, size: int, changed_at: int) -> FileEnds:
    """Return the timestamps at the ends of the file with this size and time of change. Raises MarketDataError.

    `settings` are those of a MarketConfig about its file, as JSON.
    """
    config = MarketConfig(source="file", **json.loads(settings))
    try:
        with open_under(root, config.path) as file, unchanged_while_read(file):
            if _is_plain(file, config, size):
                file.seek(0)
                is_parquet = file.peek(len(PARQUET_MAGIC)).startswith(PARQUET_MAGIC)
                return _of_parquet(file) if is_parquet else _of_csv(file, size)
    except (pa.ArrowException, OSError, ValueError) as error:
        if config.format == PLAIN.name:
            rule = error.rule if isinstance(error, MarketDataError) else f"its timestamps cannot be read: {error}"
            raise MarketDataError(rule, row=getattr(error, "row", None), file=config.path) from error
    times = load_file(config, root).timestamp.astype(np.int64)
    newest = times[-MOST_KEPT:]
    return FileEnds(newest, newest, len(newest) == len(times))


def _is_plain(file: BufferedReader, config: MarketConfig, size: int) -> bool:
    """Return whether the timestamps are one column of a file in the plain layout, whose ends can be read alone."""
    if config.format == PLAIN.name:
        return True
    if config.format != "auto" or config.timezone or config.symbol or config.columns or config.skip_rows:
        return False
    content = content_of(file, size)
    if content.compression or content.kind == "arrow":
        return False
    if content.kind == "parquet":
        return True
    plan = plan_text(read_head(content.open(), 0), config)
    if plan.layout.timezone or plan.zone or "time" in plan.roles or plan.separator != "," or not plan.header:
        return False
    try:
        return locate_columns(plan.names)["timestamp"] == plan.roles["timestamp"]
    except MarketDataError:
        return False


def _of_parquet(file: BufferedReader) -> FileEnds:
    table = ParquetTable(file)
    name = table.names[locate_columns(table.names)["timestamp"]]
    columns = [as_plain(batch["timestamp"]) for batch in table.batches({"timestamp": name}) if len(batch["timestamp"])]
    times = _seconds(columns, columns[0]) if columns else np.empty(0, np.int64)
    newest = np.sort(times)[-MOST_KEPT:]
    return FileEnds(newest, newest, len(newest) == len(times))


def _of_csv(file: BufferedReader, size: int) -> FileEnds:
    header = csv_header(file)
    position = locate_columns(header)["timestamp"]
    begin = file.tell()
    whole = size - begin <= 2 * BYTES_AT_END
    if whole:
        blocks = [file.read()]
    else:
        blocks = [file.read(BYTES_AT_END).rpartition(b"\n")[0]]
        file.seek(size - BYTES_AT_END)
        blocks.append(file.read().partition(b"\n")[2])
    columns = [_timestamps(block, len(header), position) for block in blocks if block.strip()]
    if not columns:
        return FileEnds(np.empty(0, np.int64), np.empty(0, np.int64), whole)
    times = [_seconds([column], columns[0]) for column in columns]
    return FileEnds(times[0], times[-1], whole)


def _timestamps(block: bytes, columns: int, position: int) -> pa.Array:
    names = [str(number) for number in range(columns)]
    wanted = names[position]
    table = arrow_csv.read_csv(
        pa.BufferReader(block),
        read_options=arrow_csv.ReadOptions(column_names=names, block_size=2 * BYTES_AT_END, use_threads=False),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=[wanted], column_types={wanted: pa.string()}, check_utf8=False
        ),
    )
    return table.column(wanted).combine_chunks()


def _seconds(columns: list[pa.Array], first: pa.Array) -> Seconds:
    """Return the timestamps of the columns in the format of the first cell of `first`."""
    times = TimestampFormat.of(first)
    return np.concatenate([times.seconds(column, 1) for column in columns])
