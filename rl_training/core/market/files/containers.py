"""Opens what is inside a market file: unpacks gzip, zip, zstd and others within bounds."""

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, Literal

import pyarrow as pa

from rl_training.core.market.bars import MarketDataError

# Ten million rows of 200 bytes.
MAX_UNPACKED = 2_000_000_000
# Text of prices shrinks to a third or a tenth. A file that unpacks to more than this many times its size holds no
# prices.
MAX_RATIO = 200
# A small file may unpack to this size whatever its ratio, because unpacking it is quick.
ALWAYS_UNPACKED = 50_000_000

PARQUET, ARROW, OLD_FEATHER = b"PAR1", b"ARROW1", b"FEA1"
# First bytes of other files that users choose by mistake.
FOREIGN = {
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save the sheet as CSV",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"\x89HDF": "an HDF5 file; export the table as CSV or Parquet",
    b"\x80\x04\x95": "a pickle of Python; write the table with to_csv or to_parquet",
    b"\x80\x05\x95": "a pickle of Python; write the table with to_csv or to_parquet",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"<!DOCTYPE": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
    b"[{": "JSON; write the table as CSV or Parquet",
    b'{"': "JSON; write the table as CSV or Parquet",
    OLD_FEATHER: "Feather of version 1; write it with version 2",
}
LONGEST_MAGIC = 16
# The most memory of an xz decoder: `xz -9` needs 65 MiB, but a file may require 1.5 GiB.
XZ_MEMORY = 2**27
# The largest directory of a zip archive. It has about 50 bytes for each member, and takes twenty times as much memory.
LONGEST_DIRECTORY = 2**20


@dataclass(frozen=True)
class Content:
    """The table in a file. `open` returns its bytes from the start, and may be called again."""

    kind: Literal["text", "parquet", "arrow"]
    compression: str
    open: Callable[[], BufferedReader]


def most_unpacked(size: int) -> int:
    """Return how many bytes a file of `size` bytes may unpack to."""
    return min(MAX_UNPACKED, max(ALWAYS_UNPACKED, MAX_RATIO * size))


def content_of(file: BufferedReader, size: int) -> Content:
    """Return the content of the open file of `size` bytes. Raises MarketDataError that says what cannot be read."""
    head = _head(file)
    if not head:
        raise MarketDataError("is empty")
    compression = next((name for name, magic in MAGIC.items() if head.startswith(magic)), "")
    if not compression:
        return Content(_kind(head), "", _in_utf8(lambda: io.BufferedReader(_Shared(file), 2**16)))

    def unpacked() -> BufferedReader:
        with unpacking(compression):
            stream = OPENERS[compression](io.BufferedReader(_Shared(file), 2**16))
        return io.BufferedReader(_Bounded(stream, compression, most_unpacked(size)), 2**20)

    inner = unpacked().read(LONGEST_MAGIC)
    if not inner:
        raise MarketDataError(f"is empty inside its {compression} compression")
    if next((name for name, magic in MAGIC.items() if inner.startswith(magic)), ""):
        raise MarketDataError(f"is compressed twice, with {compression} outside; unpack it once")
    kind = _kind(inner)
    if kind != "text":
        raise MarketDataError(
            f"is a {kind.capitalize()} file inside {compression}; unpack it, because it is compressed itself"
        )
    return Content(kind, compression, _in_utf8(unpacked))


def _in_utf8(opener: Callable[[], BufferedReader]) -> Callable[[], BufferedReader]:
    """Return the opener, or one that gives UTF-8 if the text is UTF-16 with a byte order mark (MetaTrader 5)."""
    if opener().read(2) not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return opener
    return lambda: io.BufferedReader(_Utf8(opener()), 2**16)


@contextmanager
def unpacking(compression: str) -> Iterator[None]:
    """Convert errors of the compression libraries to MarketDataError."""
    try:
        yield
    except MarketDataError:
        raise
    except (
        *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError, MemoryError, IndexError),
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, pa.ArrowException),
    ) as error:
        raise MarketDataError(f"cannot be unpacked as {compression}: {error}") from error


def _head(file: BufferedReader) -> bytes:
    file.seek(0)
    return file.read(LONGEST_MAGIC)


def _kind(head: bytes) -> Literal["text", "parquet", "arrow"]:
    if head.startswith(PARQUET):
        return "parquet"
    if head.startswith(ARROW):
        return "arrow"
    if foreign := next((words for magic, words in FOREIGN.items() if head.startswith(magic)), ""):
        raise MarketDataError(f"is {foreign}")
    return "text"


def _open_zip(file: BufferedReader) -> Any:
    archive = zipfile.ZipFile(_WithShortReads(file))
    members = [member for member in archive.infolist() if not member.is_dir() and "__MACOSX" not in member.filename]
    if any(member.filename == "xl/workbook.xml" for member in members):
        raise MarketDataError("is an Excel workbook; save the sheet as CSV")
    if len(members) != 1:
        raise MarketDataError(f"is a zip archive of {len(members)} files; only an archive with a single file is read")
    if members[0].flag_bits & 1:
        raise MarketDataError("is a zip archive with a password; unpack it")
    return archive.open(members[0])


class _WithShortReads(io.BufferedReader):
    """A file that refuses large reads: `zipfile` reads the directory of an archive at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LONGEST_DIRECTORY:
            raise MarketDataError(f"is a zip archive with a directory of more than {LONGEST_DIRECTORY:,} bytes")
        return super().read(size)


class _Shared(io.RawIOBase):
    """A reader of a file from its start, with its own position. The file stays open when the reader is closed."""

    def __init__(self, file: BufferedReader) -> None:
        self._file, self._position = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._position)
        count = self._file.readinto(buffer)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset, whence = self._position + offset, io.SEEK_SET
        self._position = self._file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        return self._position


class _Utf8(io.RawIOBase):
    """The text of a stream in UTF-16 as UTF-8."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream, self._rest = stream, b""
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and (data := self._stream.read(2**16)):
            self._rest = self._decoder.decode(data).encode()
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class _Bounded(io.RawIOBase):
    """A stream that ends with MarketDataError after `limit` bytes."""

    def __init__(self, stream: Any, compression: str, limit: int) -> None:
        self._stream, self._compression, self._left, self._limit = stream, compression, limit, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with unpacking(self._compression):
            data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise MarketDataError(
                f"unpacks from {self._compression} to more than {self._limit:,} bytes, too many for prices of its size"
            )
        buffer[: len(data)] = data
        return len(data)


class _Xz:
    """The content of an xz file of one or several streams, whose decoder is bounded; `LZMAFile` has no such bound."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._decoder = self._next()

    def _next(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def read(self, size: int) -> bytes:
        """Return 1 to `size` bytes, or no bytes at the end."""
        data = b""
        while not data:
            packed = b""
            if self._decoder.eof:
                # Zeros may follow a stream.
                packed = self._decoder.unused_data.lstrip(b"\0")
                while not packed and (more := self._file.read(2**16)):
                    packed = more.lstrip(b"\0")
                if not packed:
                    return b""
                self._decoder = self._next()
            elif self._decoder.needs_input:
                packed = self._file.read(2**16)
                if not packed:
                    raise EOFError("it ends in the middle")
            data = self._decoder.decompress(packed, size)
        return data


def _arrow_stream(compression: str) -> Callable[[BufferedReader], Any]:
    return lambda file: pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression)


MAGIC = {
    "gzip": b"\x1f\x8b",
    "zip": b"PK\x03\x04",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "lz4": b"\x04\x22\x4d\x18",
}
OPENERS: dict[str, Callable[[BufferedReader], Any]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "zip": _open_zip,
    "zstd": _arrow_stream("zstd"),
    "bzip2": bz2.BZ2File,
    "xz": _Xz,
    "lz4": _arrow_stream("lz4"),
}
