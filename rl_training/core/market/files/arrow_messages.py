"""How many rows and bytes the messages of an Arrow stream unpack to, found before anything is unpacked.

Arrow itself allocates what a message claims. The layout of messages is in the specification of Arrow's IPC format, and
that of their metadata in the FlatBuffers documentation.
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
    """Return the rows of a message, 0 of a dictionary, and the bytes that its compressed buffers unpack to."""
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
    """Return where a field of a table is, 0 if it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else 0


def _target(data: bytes, at: int) -> int:
    return int(at + struct.unpack_from("<I", data, at)[0])
