"""Bars from a CSV or Parquet file in the plain layout, read as all releases have read it. Nothing is repaired."""

import csv
from collections.abc import Iterator
from io import BufferedReader
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.columns import TimestampFormat, locate_columns, to_numbers
from rl_training.core.market.files.tables import MAX_BARS, Batch, ParquetTable, as_plain, text_batches
from rl_training.core.market.files.times import refuse_impossible_times

# A longer first line is not a header.
MAX_HEADER_BYTES = 65_536
PARQUET_MAGIC = b"PAR1"

logger = structlog.get_logger(__name__)

Columns = dict[str, NDArray[Any]]


def read_plain(file: BufferedReader, path: str) -> MarketData:
    """Return the bars of an open CSV or Parquet file in the plain layout; `path` is its name for the log.

    The first bytes show whether the file is Parquet. CSV must be UTF-8, separated by commas, with one header row.
    locate_columns finds the columns by name, and TimestampFormat specifies the timestamps. Rows that are not in time
    order are sorted, which is logged. Raises MarketDataError with the rule and the row; rows count from 1 after the
    header, without blank lines.
    """
    return _in_time_order(_read_columns(_batches(file)), path)


def unused_names(file: BufferedReader) -> tuple[str, ...]:
    """Return the names of the columns that are not read. Raises MarketDataError."""
    file.seek(0)
    is_parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    file.seek(0)
    names = ParquetTable(file).names if is_parquet else tuple(csv_header(file))
    used = locate_columns(names).values()
    return tuple(name for position, name in enumerate(names) if position not in used and name)


def _batches(file: BufferedReader) -> Iterator[Batch]:
    head = file.read(len(PARQUET_MAGIC))
    if not head:
        raise MarketDataError("is empty")
    file.seek(0)
    return _parquet_batches(file) if head == PARQUET_MAGIC else _csv_batches(file)


def _parquet_batches(file: BufferedReader) -> Iterator[Batch]:
    table = ParquetTable(file)
    found = {field: table.names[position] for field, position in locate_columns(table.names).items()}
    for batch in table.batches(found):
        yield {field: as_plain(column) for field, column in batch.items()}


def _csv_batches(file: BufferedReader) -> Iterator[Batch]:
    header = csv_header(file)
    return text_batches(file, len(header), locate_columns(header))


def csv_header(file: BufferedReader) -> list[str]:
    """Read the first line of a CSV file and return the names of its columns. Raises MarketDataError."""
    line = file.readline(MAX_HEADER_BYTES)
    if b"\0" in line or line.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise MarketDataError("is not text in UTF-8, but UTF-16 or binary; save it as CSV in UTF-8, or as Parquet")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MarketDataError("is not text in UTF-8; save it as CSV in UTF-8, or as Parquet") from error
    try:
        return next(csv.reader([text]), [])
    except csv.Error as error:
        raise MarketDataError(f"has no readable header in its first line: {error}") from error


def _read_columns(batches: Iterator[Batch]) -> Columns:
    chunks: dict[str, list[NDArray[Any]]] = {field: [] for field in COLUMNS}
    rows = 0
    times = TimestampFormat()
    for batch in batches:
        cells = len(batch["timestamp"])
        if not cells:
            continue
        if not rows:
            times = TimestampFormat.of(batch["timestamp"])
        chunks["timestamp"].append(times.seconds(batch["timestamp"], rows + 1))
        for field in COLUMNS[1:]:
            chunks[field].append(to_numbers(batch[field], field, rows + 1))
        rows += cells
        if rows > MAX_BARS:
            raise MarketDataError(f"has more than {MAX_BARS} rows, the most that are read", row=MAX_BARS + 1)
    if not rows:
        raise MarketDataError("has a header and no rows")
    return {field: np.concatenate(chunks.pop(field)) for field in COLUMNS}


def _in_time_order(columns: Columns, path: str) -> MarketData:
    time = columns["timestamp"] = columns["timestamp"].view("datetime64[s]")
    refuse_impossible_times(time)
    order = np.arange(len(time))
    if (time[1:] < time[:-1]).any():
        order = np.argsort(time, kind="stable")
        for field in COLUMNS:
            columns[field] = columns[field][order]
        logger.info("Rows of the market file were not in time order: sorted", file=path, rows=len(order))
    for column in columns.values():
        # MarketData copies writable arrays.
        column.setflags(write=False)
    try:
        market = MarketData(**columns)
    except MarketDataError as error:
        error.row = int(order[error.row - 1]) + 1 if error.row else None
        raise
    if len(market) > 1 and (market.close == market.close[0]).all():
        raise MarketDataError(
            f"close is {market.close[0]} in every row: there is nothing to learn from a constant price"
        )
    return market
