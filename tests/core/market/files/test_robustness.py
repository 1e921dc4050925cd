"""Any bytes give bars or a MarketDataError, in bounded time and memory."""

import gzip
import io
import random
import re
import resource
import struct
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market_config import MarketConfig
from tests.core.market.files.packers import PACKERS

HEADER, ROW = b"timestamp,open,high,low,close,volume\n", b"2020-01-01 00:00:00,10,12,9,11,5\n"
MILLION = b"7" * 1_000_000
SETTINGS: list[dict[str, object]] = [
    {},
    {"bad_rows": "drop", "suspicious": "warn"},
    {"timezone": "America/New_York", "day_first": "yes", "decimal": ","},
    {"symbol": "AAA", "skip_rows": 1, "adjust": "none"},
    {"columns": {"close": "3"}, "format": "metatrader5"},
]
PIECES = (b",", b";", b"\t", b"\n", b"null", b"1e308", b"nan", b'"', b"\xff", b"\0", b"9" * 40, b"sep=;\n", b"Ticker")


def read(folder: Path, content: bytes, **more: object) -> MarketData | str:
    (folder / "f").write_bytes(content)
    try:
        return load_file(MarketConfig.model_validate({"source": "file", "path": "f"} | more), folder)
    except MarketDataError as error:
        return str(error)


def tables() -> list[bytes]:
    closes = [1.0, 1.5] * 30
    columns = {"timestamp": range(1_600_000_000, 1_600_000_600, 10), "open": closes, "high": [2.0] * 60}
    table = pa.table(columns | {"low": [0.5] * 60, "close": closes, "volume": ["1"] * 60})
    found = []
    for compression in (None, "zstd", "lz4"):
        sink, options = io.BytesIO(), pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        found.append(sink.getvalue())
    parquet = io.BytesIO()
    pa.parquet.write_table(table, parquet)
    text = "".join(f"{','.join(map(str, row.values()))}\n" for row in table.to_pylist()).encode()
    european = text.replace(b",", b";").replace(b".", b",")
    return [*found, parquet.getvalue(), text, HEADER + text, b"Datum;o;h;l;c;v\n" + european, gzip.compress(text)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


@settings(max_examples=100, derandomize=True)
@given(content=st.binary(max_size=2000), more=st.sampled_from(SETTINGS))
def test_random_bytes_are_refused(folder, content, more):
    assert isinstance(read(folder, content, **more), str)


@pytest.mark.parametrize("more", SETTINGS, ids=str)
def test_mutated_files_load_or_are_refused(folder, more):
    samples, generator = tables(), random.Random(0)
    for _ in range(100):
        content = bytearray(generator.choice(samples))
        for _ in range(generator.choice((1, 2, 10))):
            begin = generator.randrange(len(content) + 1)
            end = begin + generator.choice((0, 1, 30))
            content[begin:end] = generator.choice((*PIECES, bytes(content[begin : begin + 200]), b""))
        read(folder, bytes(content), **more)


@pytest.mark.system
@pytest.mark.parametrize("compression", PACKERS)
def test_bomb_of_a_compression_is_refused_in_little_time_and_memory(folder, compression):
    bomb = PACKERS[compression]([HEADER, *[ROW * 30_000] * 55])
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    refused = read(folder, bomb)
    assert isinstance(refused, str)
    # lz4 compresses so little that only the number of rows is limited.
    assert re.search(
        "to more than [0-9,]+ bytes, too many for prices of its size" if compression != "lz4" else "f", refused
    )
    assert time.process_time() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000


def parquet_with(text: str, rows: int) -> bytes:
    """Return a small Parquet file in which a column repeats a text."""
    columns: dict[str, object] = dict.fromkeys(("open", "high", "low", "close"), [1.0, 1.5] * (rows // 2))
    columns["timestamp"] = range(1_600_000_000, 1_600_000_000 + 60 * rows, 60)
    columns["volume"] = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


@pytest.mark.system
@pytest.mark.parametrize("layout", ["auto", "plain"])
@pytest.mark.parametrize(
    ("text", "rows", "message"),
    [
        ("1" * 80_000_000, 100_000, "bytes are read of a file of its size"),
        ("1" * 60_000, 100_000, "f: column volume has a cell of more than 1,000 bytes"),
    ],
    ids=["one long text", "many texts"],
)
def test_parquet_file_of_unpacked_gigabytes_is_refused_in_little_memory(folder, layout, text, rows, message):
    bomb = parquet_with(text, rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = read(folder, bomb, format=layout)
    assert message.removeprefix("bytes ") in str(refused)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_parquet_file_with_understated_sizes_is_refused(folder):
    columns: dict[str, object] = {name: [1.0, 1.5] for name in ("open", "high", "low", "close")}
    columns |= {"timestamp": [1_600_000_000, 1_600_000_060], "volume": ["1" * 60_000_000, "1"]}
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), sink, compression="zstd", use_dictionary=False, write_statistics=False)

    def said(file):
        return pa.parquet.ParquetFile(io.BytesIO(file)).metadata.row_group(0).column(5).total_uncompressed_size

    # The number as Thrift writes it, and a small number of the same length.
    file = sink.getvalue().replace(bytes.fromhex("cc9c9c39"), bytes.fromhex("90808000"))
    assert (said(sink.getvalue()), said(file)) == (60_000_038, 8)
    assert read(folder, file) == "f: unpacks to 60,000,125 bytes; at most 50,000,000 are read of a file of its size"


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([[0] * 200_000] * 200, pa.list_(pa.int64())),
        pa.array([bytes(1_000_000)] * 200, pa.binary(1_000_000)),
        pa.array([bytes(1_000_000)] * 200, pa.binary()),
    ],
    ids=["lists", "wide cells", "bytes"],
)
def test_column_of_other_cells_is_not_read(folder, cells):
    columns: dict[str, object] = dict.fromkeys(("open", "high", "low", "close"), [1.0, 1.5] * 100)
    columns |= {"timestamp": range(1_600_000_000, 1_600_012_000, 60), "volume": cells}
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table(columns), sink, compression="zstd")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "column" in str(read(folder, sink.getvalue()))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_rows_of_another_width_are_refused_in_little_memory(folder):
    bomb = gzip.compress(HEADER + ROW * 900 + b"x\n" * 5_000_000, 6)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    refused = read(folder, bomb, bad_rows="drop")
    assert isinstance(refused, str)
    assert refused.endswith("rows are invalid: it is in another layout")
    assert time.process_time() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def test_zip_archive_of_many_folders_is_refused_before_they_are_read(folder):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("m.csv", HEADER + ROW * 2)
    content = packed.getvalue()
    begin = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entries = content[begin:end] * 300_000
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entries), begin, 0)
    refused = read(folder, content[:begin] + entries + last)
    assert refused == "f: is a zip archive with a directory of more than 1,048,576 bytes"


def test_arrow_file_that_claims_too_much_is_refused_before_unpacking(folder):
    count = 11_000_000
    table = pa.table({name: pa.nulls(count, pa.int8()).fill_null(1) for name in ("timestamp", "open", "high")})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    assert read(folder, sink.getvalue()) == "f: has 11000000 rows; at most 10000000 are read"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + MILLION * 100, "f: has a line of more than 262,144 bytes, too long for a row of prices"),
        (MILLION * 100, "f: has a line of more than 262,144 bytes, too long for a row of prices"),
        (HEADER + ROW * 9000 + MILLION * 100, "f: cannot be read as CSV: "),
        (b"," * 100_000 + b"b\n" + b"," * 100_000 + b"1\n", "f: has 100,001 columns; at most 2,000 are read"),
        (HEADER + ROW + b"," * 100_000, "f: has 100,001 columns; at most 2,000 are read"),
    ],
    ids=["a long row", "a long first line", "a long later row", "many columns", "many cells"],
)
def test_long_lines_and_many_columns_are_refused(folder, content, message):
    refused = read(folder, content)
    assert isinstance(refused, str)
    assert refused.startswith(message)


def test_file_whose_rows_are_mostly_invalid_is_refused_before_its_end(folder):
    refused = read(folder, HEADER + ROW + b"x,10,12,9,11,5\n" * 200_000, bad_rows="drop")
    assert isinstance(refused, str)
    assert refused.endswith("rows are invalid: it is in another layout")


@pytest.mark.parametrize("role", ["symbol", "time", "timestamp", "close", "adj close"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1]] * 2),
        pa.array([{"a": 1}] * 2),
        pa.array([b"\xff"] * 2),
        pa.array([1, 2], pa.timestamp("s", "Nowhere/At_All")),
        pa.array([-(2**63)] * 2, pa.timestamp("s")),
        pa.array([2**62] * 2, pa.date64()),
        pa.array([1.0, float("nan")]),
        pa.array([pa.MonthDayNano([1, 2, 3])] * 2),
    ],
    ids=lambda column: str(column.type)[:9],
)
def test_column_of_another_type_is_refused(folder, role, column):
    bars = {"date": ["2020-01-01", "2020-01-02"], "open": [1.0, 2.0], "high": [9.0] * 2, "low": [0.5] * 2}
    table = pa.table(bars | {"close": [1.0, 2.0], role: column})
    for more in SETTINGS[:3]:
        with pa.ipc.new_file(folder / "f", table.schema) as writer:
            writer.write_table(table)
        read(folder, (folder / "f").read_bytes(), **more)


def test_parquet_file_with_a_name_that_is_not_utf8_is_refused(folder):
    parquet = io.BytesIO()
    bars = {"date": ["2020-01-01", "2020-01-02"], "open": [1.0, 2.0], "high": [9.0] * 2, "low": [0.5] * 2}
    pa.parquet.write_table(pa.table(bars | {"close": [1.0, 2.0], "funding": [1.0, 2.0]}), parquet)
    content = parquet.getvalue()
    places = [found.start() for found in re.finditer(b"funding", content)]
    assert len(places) == 2
    for place in places:
        refused = read(folder, content[:place] + b"\xcd" + content[place + 1 :])
        assert str(refused).startswith("f: cannot be read as Parquet")


def test_refusal_names_the_column_of_another_type(folder):
    table = pa.table({name: [1.0, 2.0] for name in ("date", "open", "high", "low", "close")} | {"symbol": [["A"]] * 2})
    parquet = io.BytesIO()
    pa.parquet.write_table(table, parquet)
    refusal = "f: column symbol holds list<element: string>; numbers, times or texts are needed"
    assert read(folder, parquet.getvalue()) == refusal


@pytest.mark.parametrize("layout", ["auto", "plain"])
@pytest.mark.parametrize(
    "content",
    [
        b"date,open," + b"1" * 120_000 + b"x,close\n" + ROW,
        b"timestamp,open,high," + b"(" * 120_000 + b",close\n" + ROW,
        HEADER + b"2001-01-01,,,,,\n" * 450 + b"2" + b" " * 200_000 + b"x,10,12,9,11,5\n",
        HEADER + b"2024-01-02 00" + b":00" * 40_000 + b"x,10,12,9,11,5\n",
        HEADER + ROW * 450 + b"2024-01-02 00" + b":00" * 100_000 + b"x,10,12,9,11,5\n",
        HEADER + ROW + b"2020-01-02 00:00:00,10,12,9," + b"1,111" * 20_000 + b"x,5\n",
        HEADER.replace(b",", b";") + ROW.replace(b",", b";") + b"1;2;3;4;" + b"1." * 50_000 + b";5\n",
    ],
    ids=["digits", "brackets", "blanks", "minutes", "minutes below", "thousands", "points"],
)
def test_cells_that_are_no_values_take_time_in_proportion_to_their_length(folder, content, layout):
    started = time.process_time()
    assert isinstance(read(folder, content, format=layout), str)
    assert time.process_time() - started < 2
