"""The rows of text, Parquet and Arrow files, in batches of a few MB, with the columns that have a role."""

import io
import re
from array import array
from collections.abc import Iterator, Mapping
from functools import partial
from io import BufferedReader
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.columns import shown
from rl_training.core.market.files.containers import most_unpacked
from rl_training.core.market.files.head import MOST_COLUMNS, as_utf8
from rl_training.core.market.files.unpacked_sizes import check_messages, unpacked_pages

# 19 years of one-minute bars. Their columns take 480 MB, and twice that while they are concatenated.
MAX_BARS = 10_000_000
# A batch of this size takes a few MB, and is so large that the overhead of a call is negligible.
ROWS_PER_BATCH = 65_536
BYTES_PER_BLOCK = 4 * 2**20
# The length of U+FFFD in UTF-8; the sign replaces a byte that is not UTF-8.
BYTES_OF_SIGN = 3
# Arrow's message for a row that has more or fewer columns than the header.
RAGGED_ROW = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)
# A cell with a number or a timestamp is shorter than this.
LONGEST_CELL = 1_000
# The name of a nested type may be as long as the file.
LONGEST_KIND = 100
# With so many invalid rows, reading ends as soon as they are more than half of the rows.
MOST_BAD_AT_FIRST = 10_000
# The stream begins after the magic number and its padding.
ARROW_BEGIN = 8

Batch = dict[str, pa.Array]


def text_batches(
    file: BufferedReader,
    width: int,
    roles: dict[str, int],
    separator: str = ",",
    skipped: "array[int] | None" = None,
    *,
    encoding: str = "",
) -> Iterator[Batch]:
    """Yield the columns of rows of `width` cells, by role. The numbers of rows of another width go to `skipped`.

    Without `skipped`, such a row raises MarketDataError. With `encoding`, lines may have this encoding instead of
    UTF-8.
    """
    # Columns that are not used may have equal names in the file, so each column is named by its position.
    names = [str(position) for position in range(width)]
    wanted = [names[position] for position in roles.values()]
    options = {
        "parse_options": arrow_csv.ParseOptions(delimiter=separator),
        "convert_options": arrow_csv.ConvertOptions(
            include_columns=list(dict.fromkeys(wanted)),
            column_types=dict.fromkeys(wanted, pa.string()),
            check_utf8=False,
        ),
        # With several threads, Arrow does not report row numbers.
        "read_options": arrow_csv.ReadOptions(
            column_names=names, block_size=BYTES_OF_SIGN * 2 * BYTES_PER_BLOCK + 1, use_threads=False
        ),
    }
    rows = 0
    for block in _blocks(file):
        left_out = array("q")
        if encoding:
            block = as_utf8(block, encoding)
        if skipped is not None:
            options["parse_options"].invalid_row_handler = partial(_skip, left_out)
        try:
            # Arrow's own reader of streams calls Python in another thread, which aborts a process that ends meanwhile.
            table = arrow_csv.read_csv(pa.BufferReader(block), **options)
        except (pa.ArrowException, OSError) as error:
            raise _refusal(error, rows, may_drop=bool(encoding)) from error
        if skipped is not None:
            skipped.extend(rows + number for number in left_out)
        # The layout plain gives no encoding, and must read files as older releases did.
        if encoding:
            _refuse_open_quote(block, separator.encode(), width, rows, len(table) + len(left_out))
        rows += len(table) + len(left_out)
        refuse_mostly_invalid(len(skipped or ()), rows)
        yield {role: _whole(table.column(names[position])) for role, position in roles.items()}


def _refuse_open_quote(block: bytes, separator: bytes, width: int, before: int, read: int) -> None:
    """Raise MarketDataError if an unclosed quotation mark joined rows, up to the next quotation mark, into one cell."""
    if read >= block.count(b"\n"):
        return
    lines = [line for line in block.splitlines() if line.strip()]
    if sum(line.count(separator) == width - 1 for line in lines) > read:
        first = next((number for number, line in enumerate(lines, 1) if line.count(b'"') % 2), 1)
        raise MarketDataError("has a quotation mark that is not closed in its line; remove it", row=before + first)


def refuse_mostly_invalid(bad: int, rows: int) -> None:
    """Raise MarketDataError if most of the rows that have been read are invalid."""
    if bad > max(MOST_BAD_AT_FIRST, rows // 2):
        raise MarketDataError(f"more than half of its first {rows:,} rows are invalid: it is in another layout")


def _skip(left_out: "array[int]", row: Any) -> str:
    left_out.append(row.number)
    return "skip"


def _blocks(file: BufferedReader) -> Iterator[bytes]:
    """Yield the bytes of a file in blocks of whole lines."""
    rest = b""
    while data := file.read(BYTES_PER_BLOCK):
        lines, newline, data = (rest + data).rpartition(b"\n")
        if len(data) > BYTES_PER_BLOCK:
            raise MarketDataError(f"cannot be read as CSV: it has a line of more than {BYTES_PER_BLOCK:,} bytes")
        if lines.strip():
            yield lines + newline
        rest = data
    if rest.strip():
        yield rest


def _refusal(error: Exception, rows: int, *, may_drop: bool) -> MarketDataError:
    # The row is read from the message, because Arrow passes rows to a handler only if they are UTF-8.
    ragged = RAGGED_ROW.search(str(error))
    if not ragged:
        return MarketDataError(f"cannot be read as CSV: {error}")
    row, expected, actual, text = ragged.groups()
    rule = f"has {actual} columns, the header has {expected}: {shown(text)}"
    if may_drop and rows + int(row) == 1:
        rule += "; leave out what is above the prices with skip_rows, and name the columns by their index"
    elif may_drop:
        rule += "; bad_rows: drop leaves out such rows, and lines of text below the prices"
    return MarketDataError(rule, row=rows + int(row))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def skip_bytes(file: BufferedReader, count: int) -> None:
    """Read and forget the first bytes of a stream, which may not be able to seek."""
    while count > 0:
        data = file.read(min(count, BYTES_PER_BLOCK))
        if not data:
            return
        count -= len(data)


class ParquetTable:
    """The columns of a Parquet file."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        try:
            # Without pre_buffer, memory holds only the pages in use.
            self._reader = parquet.ParquetFile(file, pre_buffer=False)
            metadata = self._reader.metadata
            check_size(metadata.num_rows, metadata.num_columns)
            self._most = most_unpacked(file.seek(0, io.SEEK_END))
            self.names = tuple(self._reader.schema_arrow.names)
            texts = [field.name for field in self._reader.schema_arrow if _is_text(field.type)]
            if texts:
                # Repeated cells of any length take no memory as long as they are entries of a dictionary.
                self._reader = parquet.ParquetFile(file, pre_buffer=False, read_dictionary=texts)
        # Column names that are not UTF-8 raise UnicodeDecodeError.
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise MarketDataError(f"cannot be read as Parquet: {error}") from error

    def batches(self, columns: Mapping[str, str]) -> Iterator[Batch]:
        """Yield columns under other names; `columns` maps each of these to the name in the file."""
        try:
            refuse_other_cells(self._reader.schema_arrow, columns)
            self._check_unpacked(set(columns.values()))
            for batch in self._reader.iter_batches(ROWS_PER_BATCH, columns=list(columns.values()), use_threads=False):
                yield {role: checked(batch.column(name), role) for role, name in columns.items()}
        # Some versions of a name may be UTF-8, and others not.
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise MarketDataError(f"cannot be read as Parquet: {error}") from error

    def _check_unpacked(self, names: set[str]) -> None:
        """Raise MarketDataError if the columns unpack to more than prices do.

        The sizes are those of the pages, because Arrow does not compare them with what the end of the file says.
        """
        metadata = self._reader.metadata
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        columns = (group.column(number) for group in groups for number in range(group.num_columns))
        size = sum(self._unpacked(column) for column in columns if column.path_in_schema in names)
        if size > self._most:
            raise MarketDataError(f"unpacks to {size:,} bytes; at most {self._most:,} are read of a file of its size")

    def _unpacked(self, column: Any) -> int:
        starts = (column.data_page_offset, column.dictionary_page_offset if column.has_dictionary_page else 0)
        start = min(offset for offset in starts if offset)
        return unpacked_pages(self._file, start, column.total_compressed_size)


class ArrowTable:
    """The columns of an Arrow IPC file, such as Feather. After its first bytes, its content is that of a stream."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        try:
            self._schema = self._stream().schema
            self.names = tuple(self._schema.names)
            check_size(0, len(self.names))
            most = most_unpacked(file.seek(0, io.SEEK_END))
            check_messages(self._begin(), MAX_BARS, most)
        except (pa.ArrowException, OSError, UnicodeDecodeError, ValueError) as error:
            if isinstance(error, MarketDataError):
                raise
            raise MarketDataError(f"cannot be read as Arrow: {error}") from error

    def batches(self, columns: Mapping[str, str]) -> Iterator[Batch]:
        """Yield columns under other names; `columns` maps each of these to the name in the file."""
        wanted = set(columns.values())
        refuse_other_cells(self._schema, columns)
        try:
            for batch in self._stream([number for number, name in enumerate(self.names) if name in wanted]):
                batch.validate(full=True)
                for first in range(0, len(batch), ROWS_PER_BATCH):
                    part = batch.slice(first, ROWS_PER_BATCH)
                    yield {role: checked(part.column(name), role) for role, name in columns.items()}
        except (pa.ArrowException, OSError, MemoryError, KeyError) as error:
            raise MarketDataError(f"cannot be read as Arrow: {error}") from error

    def _begin(self) -> BufferedReader:
        self._file.seek(ARROW_BEGIN)
        return self._file

    def _stream(self, fields: list[int] | None = None) -> Any:
        options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        return pa.ipc.open_stream(pa.PythonFile(self._begin(), mode="r"), options=options)


def checked(column: pa.Array, role: str) -> pa.Array:
    """Return the column. Raises MarketDataError if a cell is too long for a number or a timestamp."""
    texts = column.dictionary if pa.types.is_dictionary(column.type) else column
    if _is_text(texts.type) and len(texts) and (pc.max(pc.binary_length(texts)).as_py() or 0) > LONGEST_CELL:
        raise MarketDataError(f"column {role} has a cell of more than {LONGEST_CELL:,} bytes")
    return column


def as_plain(column: pa.Array) -> pa.Array:
    """Return the column without a dictionary."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def refuse_other_cells(schema: pa.Schema, columns: Mapping[str, str]) -> None:
    """Raise MarketDataError for a column whose cells are no numbers, times or texts: such cells have no bound."""
    for role, name in columns.items():
        kind = schema.field(name).type
        cell = kind.value_type if pa.types.is_dictionary(kind) else kind
        known = (pa.types.is_primitive, pa.types.is_decimal, pa.types.is_null, _is_text)
        if not any(is_of(cell) for is_of in known):
            raise MarketDataError(f"column {role} holds {str(cell)[:LONGEST_KIND]}; numbers, times or texts are needed")


def _is_text(kind: pa.DataType) -> bool:
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    binaries = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(is_of(kind) for is_of in (*texts, *binaries))


def check_size(rows: int, columns: int) -> None:
    """Raise MarketDataError for a table with more rows or columns than are read."""
    if rows > MAX_BARS:
        raise MarketDataError(f"has {rows} rows; at most {MAX_BARS} are read")
    if columns > MOST_COLUMNS:
        raise MarketDataError(f"has {columns:,} columns; at most {MOST_COLUMNS:,} are read")
