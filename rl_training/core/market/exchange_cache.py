"""A cache of exchange bars as Parquet files, so that no bar is fetched twice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import structlog
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.exchange_series import Series

# After this time a waiting process fails with a message, so that it is not mistaken for a stuck process.
LOCK_SECONDS = 300.0
SCHEMA = pa.schema([("timestamp", pa.timestamp("ms", "UTC")), *((name, pa.float64()) for name in COLUMNS[1:])])

logger = structlog.get_logger(__name__)


class ExchangeCache:
    """The file of one series: `<root>/exchange/<exchange>/<symbol, percent-encoded>/<timeframe>.parquet`.

    The file contains the name of its series, and checksums. It is replaced as a whole, so that a reader finds either
    the old bars or the new ones.
    """

    def __init__(self, series: Series, root: Path) -> None:
        self.series = series
        self.path = series.cache_file(root)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the series, so that one process at a time reads and extends its bars.

        Raises MarketDataError after LOCK_SECONDS, or if the folder cannot be written.
        """
        lock = FileLock(self.path.with_suffix(".lock"), timeout=LOCK_SECONDS)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            rule = f"another process has held the lock {lock.lock_file} of these bars for {LOCK_SECONDS:g} s"
            raise MarketDataError(rule, file=str(self.series)) from error
        except OSError as error:
            raise MarketDataError(f"its bars cannot be cached: {error}", file=str(self.series)) from error
        try:
            yield
        finally:
            lock.release()

    def read(self) -> MarketData | None:
        """Return the cached bars, or None. A damaged file is renamed, with a warning, and counts as none."""
        try:
            with self.path.open("rb") as file:
                return self._parse(file)
        except FileNotFoundError:
            return None
        except (pa.ArrowException, ValueError, OSError) as error:
            # Arrow also raises OSError for damaged content, but then without errno.
            if isinstance(error, OSError) and error.errno:
                raise MarketDataError(f"{self.path} cannot be read: {error}", file=str(self.series)) from error
            damaged = self.path.with_suffix(".parquet.damaged")
            os.replace(self.path, damaged)
            logger.warning(
                "The cached bars are damaged: set aside, and fetched again", file=str(damaged), reason=str(error)
            )
            return None

    def write(self, market: MarketData) -> None:
        """Replace the cached bars. Raises MarketDataError if the file cannot be written."""
        columns = [market.timestamp.astype("datetime64[ms]"), *(getattr(market, name) for name in COLUMNS[1:])]
        # pa.array() would import pandas.
        arrays = [
            pa.Array.from_buffers(field.type, len(market), [None, pa.py_buffer(np.ascontiguousarray(column))])
            for field, column in zip(SCHEMA, columns, strict=True)
        ]
        table = pa.table(arrays, schema=SCHEMA.with_metadata({"series": str(self.series)}))
        partial = self.path.with_suffix(".parquet.partial")
        try:
            with partial.open("wb") as file:
                parquet.write_table(table, file, compression="zstd", write_page_checksum=True)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path)
        except OSError as error:
            raise MarketDataError(f"{self.path} cannot be written: {error}", file=str(self.series)) from error

    def _parse(self, file: Any) -> MarketData:
        reader = parquet.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
        schema = reader.schema_arrow
        found = (schema.metadata or {}).get(b"series", b"no series").decode(errors="replace")
        if found != str(self.series):
            raise MarketDataError(f"the file holds bars of {found}, not of {self.series}")
        if not schema.equals(SCHEMA):
            raise MarketDataError("the file has other columns than the cache writes")
        table = reader.read(use_threads=False)
        seconds = _numpy(table["timestamp"].cast(pa.int64())) // 1000
        return MarketData(seconds.view("datetime64[s]"), *(_numpy(table[name]) for name in COLUMNS[1:]))


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    # column.to_numpy() would import pandas.
    return np.concatenate([np.from_dlpack(chunk) for chunk in column.chunks])
