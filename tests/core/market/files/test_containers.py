"""The content of compressed files, and the memory that unpacking them takes."""

import io
import lzma
import struct
import zlib

import pytest

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.files.containers import content_of

TEXT = b"time,close\n" + b"2020-01-01,1\n" * 20_000


def unpacked(file: bytes) -> bytes:
    return content_of(io.BufferedReader(io.BytesIO(file)), len(file)).open().read()


def asking_for_much(file: bytes) -> bytes:
    """Return an xz file whose first block requires a dictionary of 1.5 GiB (the fifth byte of the block's header)."""
    start, end = 12, 12 + (file[12] + 1) * 4
    header = bytearray(file[start : end - 4])
    header[4] = 37
    return file[:start] + header + struct.pack("<I", zlib.crc32(header)) + file[end:]


def test_streams_of_an_xz_file_are_read_one_after_the_other():
    first, second = (lzma.compress(part) for part in (TEXT[:1000], TEXT[1000:]))
    assert unpacked(first + bytes(8) + second + bytes(4)) == TEXT


def test_xz_file_that_ends_in_the_middle_is_refused():
    with pytest.raises(MarketDataError, match="cannot be unpacked as xz"):
        unpacked(lzma.compress(TEXT)[:-20])


def test_xz_file_that_requires_much_memory_is_refused():
    with pytest.raises(MarketDataError, match="Memory usage limit exceeded"):
        unpacked(asking_for_much(lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])))
