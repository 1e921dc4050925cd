"""Finds how much Arrow and Parquet files unpack to, before anything is unpacked.

Arrow itself allocates as much memory as a message or a page claims to need. The layout of Arrow's messages is in the
specification of its IPC format, and that of their metadata in the FlatBuffers documentation. The header of a Parquet
page is a struct of Thrift's compact protocol, specified in parquet.thrift.
"""

import struct
from io import BufferedReader

import pyarrow as pa

from rl_training.core.market.bars import MarketDataError

DICTIONARY, RECORDS = 2, 3
# Fields of the tables Message, DictionaryBatch and RecordBatch, by their position in the schema.
HEADER_TYPE, HEADER, DATA, LENGTH, BUFFERS, COMPRESSION = 1, 2, 1, 0, 2, 3


def check_messages(file: BufferedReader, most_rows: int, most_bytes: int) -> None:
    """Raise MarketDataError if the stream at the file's position has more rows, or unpacks to more, than is read."""
    rows = size = 0
    for message in pa.ipc.MessageReader.open_stream(pa.PythonFile(file, mode="r")):
        metadata, body = message.metadata.to_pybytes(), message.body
        try:
            count, unpacked = _sizes(metadata, memoryview(body) if body is not None else memoryview(b""))
        except (struct.error, IndexError) as error:
            raise MarketDataError(f"cannot be read as Arrow: its metadata is damaged: {error}") from error
        rows, size = rows + count, size + unpacked
        if rows > most_rows:
            raise MarketDataError(f"has {rows} rows; at most {most_rows} are read")
        if size > most_bytes:
            raise MarketDataError(f"unpacks to {size:,} bytes; at most {most_bytes:,} are read of a file of its size")


def _sizes(metadata: bytes, body: memoryview) -> tuple[int, int]:
    """Return the rows of a message, 0 for a dictionary, and the bytes that its compressed buffers unpack to."""
    root = struct.unpack_from("<I", metadata)[0]
    kind_at, header_at = _field(metadata, root, HEADER_TYPE), _field(metadata, root, HEADER)
    if not kind_at or not header_at or metadata[kind_at] not in (DICTIONARY, RECORDS):
        return 0, 0
    batch = _target(metadata, header_at)
    if metadata[kind_at] == DICTIONARY:
        batch = _target(metadata, _field(metadata, batch, DATA))
    length_at, buffers_at = _field(metadata, batch, LENGTH), _field(metadata, batch, BUFFERS)
    rows = struct.unpack_from("<q", metadata, length_at)[0] if length_at and metadata[kind_at] == RECORDS else 0
    if not buffers_at or not _field(metadata, batch, COMPRESSION):
        return rows, 0
    vector = _target(metadata, buffers_at)
    unpacked = 0
    for number in range(struct.unpack_from("<I", metadata, vector)[0]):
        offset, length = struct.unpack_from("<qq", metadata, vector + 4 + 16 * number)
        if length:
            # -1 means that the buffer is not compressed.
            unpacked += max(0, struct.unpack_from("<q", body, offset)[0])
    return rows, unpacked


def _field(data: bytes, table: int, number: int) -> int:
    """Return the offset of a field of a table, 0 if the field is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else 0


def _target(data: bytes, at: int) -> int:
    return int(at + struct.unpack_from("<I", data, at)[0])


# Fields of a page's header.
UNPACKED_SIZE, PACKED_SIZE = 2, 3
# Headers of pages have about ten bytes, and statistics that may hold texts.
LONGEST_HEADER = 2**16
# The most pages of a column in a row group; a page has thousands of rows.
MOST_PAGES = 100_000
LONGEST_NUMBER = 10
# Types of Thrift's compact protocol; the others are numbers of one to ten bytes.
YES, NO, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


def unpacked_pages(file: BufferedReader, start: int, size: int) -> int:
    """Return the unpacked bytes of the pages of a column chunk of `size` bytes at `start`. Raises MarketDataError."""
    unpacked, pages, end = 0, 0, start + size
    try:
        while start < end:
            pages += 1
            if pages > MOST_PAGES:
                raise MarketDataError(f"has more than {MOST_PAGES:,} pages in a column of a row group")
            file.seek(start)
            fields, length = _page_header(file.read(min(LONGEST_HEADER, end - start)))
            if min(fields[UNPACKED_SIZE], fields[PACKED_SIZE]) < 0:
                raise IndexError("a size is negative")
            unpacked += fields[UNPACKED_SIZE]
            start += length + fields[PACKED_SIZE]
    except (LookupError, RecursionError) as error:
        raise MarketDataError(f"cannot be read as Parquet: the header of a page is damaged: {error}") from error
    return unpacked


def _page_header(data: bytes) -> tuple[dict[int, int], int]:
    """Return the numbers in a page's header by their fields, and the header's length. Raises LookupError."""
    fields: dict[int, int] = {}
    at, field = 0, 0
    while kind := data[at] & 15:
        step = data[at] >> 4
        at += 1
        if step:
            field += step
        else:
            number, at = _number(data, at)
            field = _signed(number)
        if kind in (YES, NO, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT):
            at = _after(data, at, kind)
        else:
            number, at = _number(data, at)
            fields[field] = _signed(number)
    return fields, at + 1


def _after(data: bytes, at: int, kind: int) -> int:
    """Return the offset after a value that is not a number of the header itself."""
    if kind in (YES, NO):
        return at
    if kind in (BYTE, DOUBLE):
        return at + (1 if kind == BYTE else 8)
    if kind == BINARY:
        length, at = _number(data, at)
        return at + length
    if kind == STRUCT:
        return at + _page_header(data[at:])[1]
    # No header of a page has a list or a map.
    raise IndexError("it has a list")


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset after it."""
    value = 0
    for length in range(LONGEST_NUMBER):
        value |= (data[at + length] & 127) << 7 * length
        if data[at + length] < 128:
            return value, at + length + 1
    raise IndexError("a number is too long")


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
