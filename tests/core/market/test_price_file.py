import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from structlog.testing import capture_logs

from rl_training.core.market import price_file
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.price_file import load_file, unchanged_while_read
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig

SHARED = Path(__file__).parents[3].parent / "shared" / "data"

HEADER = "timestamp,open,high,low,close,volume\n"
ROWS = [
    "2020-01-01 00:00:00,10,12,9,11,5\n",
    "2020-01-01 01:00:00,11,13,10,12,0\n",
    "2020-01-01 02:00:00,12,14,11,13,7\n",
]


@pytest.fixture
def load(tmp_path):
    """Writes a file (CSV text, bytes, or columns for Parquet) and loads it."""

    def load(content, name="m.csv"):
        if isinstance(content, dict):
            content = pa.table(content)
        if isinstance(content, pa.Table):
            parquet.write_table(content, tmp_path / name)
        else:
            (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return load_file(name, tmp_path)

    return load


def columns(**changes):
    return {
        "timestamp": np.array(["2020-01-01T00", "2020-01-01T01", "2020-01-01T02"], "M8[ms]"),
        "open": [10.0, 11.0, 12.0],
        "high": [12.0, 13.0, 14.0],
        "low": [9.0, 10.0, 11.0],
        "close": [11.0, 12.0, 13.0],
        "volume": [5.0, 0.0, 7.0],
    } | changes


def refusal(load, content):
    with pytest.raises(MarketDataError) as error:
        load(content)
    return str(error.value)


def test_csv_and_parquet_with_the_same_bars_are_the_same_market(load):
    market = load(HEADER + "".join(ROWS))
    assert len(market) == 3
    assert market.timestamp[2] == np.datetime64("2020-01-01T02:00:00")
    assert market.volume.tolist() == [5.0, 0.0, 7.0]
    assert load(columns(), "m.parquet").digest == market.digest


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1577836800", "1577840400"),
        ("1577836800.0", "1577840400.0"),
        ("1577836800000", "1577840400000"),
        ("1577836800000000", "1577840400000000"),
        ("1577836800000000000", "1577840400000000000"),
        ("2020-01-01", "2020-01-01 01:00"),
        ("2020-01-01T00:00:00Z", "2020-01-01T01:00:00Z"),
        ("2020-01-01T02:00:00+02:00", "2020-01-01T03:00:00+02:00"),
        ("2020-01-01 00:00:00.000", "2020-01-01 01:00:00.000"),
    ],
)
def test_epochs_of_any_unit_and_iso_dates_are_the_same_instants(load, first, second):
    market = load(f"{HEADER}{first},10,12,9,11,5\n{second},11,13,10,12,0\n")
    assert market.timestamp.astype(str).tolist() == ["2020-01-01T00:00:00", "2020-01-01T01:00:00"]


@pytest.mark.parametrize(
    "timestamp",
    [
        pa.array([1577836800, 1577840400, 1577844000]),
        pa.array([1577836800000.0, 1577840400000.0, 1577844000000.0]),
        pa.array([1577836800, 1577840400, 1577844000], pa.timestamp("s", "America/New_York")),
        pa.array([1577836800 * 10**9, 1577840400 * 10**9, 1577844000 * 10**9], pa.timestamp("ns")),
        pa.array(["2020-01-01 00:00", "2020-01-01 01:00", "2020-01-01 02:00"]).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_parquet_may_hold_timestamps_in_any_type(load, timestamp):
    assert load(columns(timestamp=timestamp)).digest == load(columns()).digest


def test_parquet_may_hold_dates_and_numbers_of_other_types(load):
    market = load(
        columns(
            timestamp=pa.array([18262, 18263, 18264], pa.date32()),
            open=pa.array([10, 11, 12]),
            high=pa.array(["12", "13", "14"]),
            low=pa.array([9, 10, 11], pa.float32()),
            volume=pa.array([5, 0, 7], pa.int32()).cast(pa.decimal128(20, 2)),
        )
    )
    assert market.timestamp[0] == np.datetime64("2020-01-01")
    assert (market.open[0], market.high[0], market.low[0], market.volume[0]) == (10.0, 12.0, 9.0, 5.0)


def test_names_match_in_any_case_and_foreign_columns_are_ignored(load):
    market = load(
        "\ufeffSymbol,Open Time, HIGH ,Low,close,Volume USD,OPEN,Volume,note,note\r\n"
        'BTC,2020-01-01,12,9,11,x,10,5,"1,5",\r\nBTC,2020-01-02, 13,10,12 ,x,11,0,,\r\n'
    )
    assert market.high.tolist() == [12.0, 13.0]
    assert market.close.tolist() == [11.0, 12.0]
    assert market.volume.tolist() == [5.0, 0.0]


def test_an_epoch_is_preferred_to_a_date(load):
    market = load("date,unix,open,high,low,close,volume\n01.02.2020 local,1577836800,10,12,9,11,5\n")
    assert market.timestamp[0] == np.datetime64("2020-01-01")


def test_rows_in_another_order_are_sorted_and_the_log_says_so(load):
    with capture_logs() as logs:
        market = load(HEADER + ROWS[2] + ROWS[0] + ROWS[1])
    assert market.close.tolist() == [11.0, 12.0, 13.0]
    assert [(entry["event"], entry["rows"]) for entry in logs] == [
        ("Rows of the market file were not in time order: sorted", 3)
    ]


def test_rows_in_order_are_not_said_to_be_sorted(load):
    with capture_logs() as logs:
        load(HEADER + "".join(ROWS))
    assert logs == []


def test_a_hole_is_counted_and_not_filled(load):
    market = load(HEADER + "".join(ROWS) + "2020-01-01 06:00:00,12,14,11,13,7\n")
    assert len(market) == 4
    assert market.gaps == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "m.csv: is empty"),
        (HEADER, "m.csv: has a header and no rows"),
        (HEADER + "\n\n", "m.csv: has a header and no rows"),
        ("\n" + HEADER, "m.csv: no column is named timestamp (or unix, "),
        ((HEADER + ROWS[0]).encode("utf-16"), "m.csv: is not text in UTF-8, but UTF-16 or binary"),
        ((HEADER + ROWS[0]).encode("utf-16-be"), "m.csv: is not text in UTF-8, but UTF-16 or binary"),
        (b"timestamp,open,high,low,close,volume,caf\xe9\n", "m.csv: is not text in UTF-8; save it"),
        (HEADER.replace("\n", "\r") + ROWS[0], "m.csv: has no readable header in its first line"),
        (b"PAR1 and no more", "m.csv: cannot be read as Parquet: "),
        (HEADER + "".join(ROWS) + '"' + "x" * 9_000_000, "m.csv: cannot be read as CSV: "),
        ("".join(ROWS), "m.csv: no column is named timestamp (or unix, "),
        (HEADER.replace(",", ";"), "m.csv: no column is named timestamp (or unix, "),
        (
            "date,open,high,low,close,Volume BTC\n",
            "m.csv: no column is named volume; the header has 'date', 'open', 'high', 'low', 'close', 'Volume BTC'",
        ),
        ("date,Open,open,high,low,close,volume\n", "m.csv: 2 columns are named open; the header has 'date', 'Open', "),
        ("Date,date,open,high,low,close,volume\n", "m.csv: 2 columns are named date; the header has 'Date', 'date', "),
    ],
)
def test_a_file_that_is_no_table_of_bars_is_refused(load, content, message):
    assert refusal(load, content).startswith(message)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2020-01-01 03:00:00,10,12,9,11\n", "has 5 columns, the header has 6: '2020-01-01 03:00:00,10,12,9,11'"),
        ("2020-01-01 03:00:00,10,12,9,11,5,6\n", "has 7 columns, the header has 6: "),
        (b"2020-01-01 03:00:00,\xff,12\n", "has 3 columns, the header has 6: '2020-01-01 03:00:00,"),
        ("2020-01-01 03:00:00,10,5,12,9,11,5\n", "has 7 columns, the header has 6: "),
        ('2020-01-01 03:00:00,"10,5",12,9,11,5\n', "open '10,5' is not a number; decimals are written with a point"),
        ("2020-01-01 03:00:00,10,12,9,,5\n", "close is empty"),
        ("2020-01-01 03:00:00,10,12,9,n/a,5\n", "close 'n/a' is not a number"),
        (b"2020-01-01 03:00:00,10,12,9,\xff\x00,5\n", "close '�\\x00' is not a number"),
        ("2020-01-01 03:00:00,10,12,9,NaN,5\n", "close is nan; a price is a finite number"),
        ("2020-01-01 03:00:00,10,Inf,9,11,5\n", "high is inf; a price is a finite number"),
        ("2020-01-01 03:00:00,10,12,0,11,5\n", "low is 0.0; a price is a finite number"),
        ("2020-01-01 03:00:00,-10,12,9,11,5\n", "open is -10.0; a price is a finite number"),
        ("2020-01-01 03:00:00,10,1e308,9,11,5\n", "high is 1e+308; a price is a finite number"),
        ("2020-01-01 03:00:00,10,8,9,11,5\n", "high 8.0 is below low 9.0"),
        ("2020-01-01 03:00:00,10,12,9,13,5\n", "high 12.0 is below close 13.0"),
        ("2020-01-01 03:00:00,10,12,9,8,5\n", "low 9.0 is above close 8.0"),
        ("2020-01-01 03:00:00,10,12,9,11,-5\n", "volume is -5.0; it is a finite number"),
        ("2020-01-01 01:00:00,10,12,9,11,5\n", "timestamp 2020-01-01T01:00:00 appears twice"),
        ("2120-01-01 03:00:00,10,12,9,11,5\n", "timestamp 2120-01-01T03:00:00 is in the future"),
        ("0001-01-01 00:00:00,10,12,9,11,5\n", "timestamp 0001-01-01T00:00:00 is before 1800-01-01T00:00:00"),
        ("2020-01-01 03:00:00Z,10,12,9,11,5\n", "timestamp '2020-01-01 03:00:00Z' has a timezone, the first row's has"),
        ("2020-01-01 03:00:00.5,10,12,9,11,5\n", "timestamp 2020-01-01T03:00:00.500000 is not a whole second"),
        ("01/02/2020,10,12,9,11,5\n", "timestamp '01/02/2020' is not an ISO 8601 date, such as 2020-01-31 or"),
        ("1577847600,10,12,9,11,5\n", "timestamp '1577847600' is not an ISO 8601 date"),
        (",10,12,9,11,5\n", "timestamp is empty"),
    ],
)
def test_a_bad_row_is_refused_with_its_number_and_the_rule(load, row, message):
    content = (HEADER + "".join(ROWS)).encode() + (row if isinstance(row, bytes) else row.encode())
    assert refusal(load, content).startswith(f"m.csv, row 4 (header not counted): {message}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"open": [10.0, None, 12.0]}, "m.csv, row 2 (header not counted): open is empty"),
        ({"open": [10.0, float("nan"), 12.0]}, "m.csv, row 2 (header not counted): open is nan; a price is"),
        ({"open": [True, True, True]}, "m.csv: column open holds bool; numbers are needed"),
        ({"open": [[1.0], [2.0], [3.0]]}, "m.csv: column open holds list<element: double>; numbers are needed"),
        ({"timestamp": [True, True, True]}, "m.csv: column timestamp holds bool; an epoch or a date is needed"),
        ({"Open": [10.0, 11.0, 12.0]}, "m.csv: 2 columns are named open; "),
        ({"timestamp": ["1577836800", "x", "y"]}, "m.csv, row 2 (header not counted): timestamp 'x' is no epoch, as"),
    ],
)
def test_a_bad_parquet_column_is_refused(load, changes, message):
    assert refusal(load, columns(**changes)).startswith(message)


def test_a_parquet_file_that_was_cut_off_is_refused(load, tmp_path):
    load(columns())
    content = (tmp_path / "m.csv").read_bytes()
    assert refusal(load, content[: len(content) // 2]).startswith("m.csv: cannot be read as Parquet: ")
    damaged = content[:20] + b"\xff" * 40 + content[60:]
    assert refusal(load, damaged).startswith("m.csv")


@pytest.mark.parametrize("epoch", ["20200101", "202001010000", "0", "-1577836800", "3"])
def test_a_number_that_is_hardly_an_epoch_is_refused(load, epoch):
    assert refusal(load, f"{HEADER}{epoch},10,12,9,11,5\n").startswith(
        f"m.csv, row 1 (header not counted): timestamp {epoch} is no epoch from 1980 on; write dates as 2020-01-31"
    )


@pytest.mark.parametrize("epoch", ["1577836800.5", "1577836800001", "1e30", "nan", "99999999999999999999"])
def test_an_epoch_that_is_no_whole_second_is_refused(load, epoch):
    assert refusal(load, f"{HEADER}1577836800,10,12,9,11,5\n{epoch},10,12,9,11,5\n").startswith(
        "m.csv, row 2 (header not counted): timestamp "
    )


def test_offsets_may_not_differ(load):
    rows = "2020-01-01T00:00:00+01:00,10,12,9,11,5\n2020-01-01T01:00:00+02:00,10,12,9,11,5\n"
    assert refusal(load, HEADER + rows) == (
        "m.csv, row 2 (header not counted): timestamp '2020-01-01T01:00:00+02:00' is not at offset +01:00 like the "
        "first row's; write all of them in UTC"
    )


def test_local_dates_may_be_up_to_14_hours_ahead_of_utc(load):
    soon = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    assert len(load(f"{HEADER}{soon + timedelta(hours=13)},10,12,9,11,5\n")) == 1
    assert "is in the future" in refusal(load, f"{HEADER}{soon + timedelta(hours=15)},10,12,9,11,5\n")


def test_a_bad_row_of_a_file_that_had_to_be_sorted_keeps_its_number_in_the_file(load):
    bad = "2019-12-31 23:00:00,10,12,9,13,5\n"
    assert refusal(load, HEADER + ROWS[2] + ROWS[1] + bad + ROWS[0]).startswith(
        "m.csv, row 3 (header not counted): high"
    )
    assert refusal(load, HEADER + ROWS[2] + ROWS[1] + ROWS[2]).startswith(
        "m.csv, row 3 (header not counted): timestamp"
    )


def test_a_bad_row_far_into_the_file_is_found(load):
    rows = [f"{1_500_000_000 + 60 * i},10,12,9,{10 + i % 2},5\n" for i in range(200_000)]
    rows[150_000] = rows[150_000].replace(",9,", ",9..,")
    assert refusal(load, HEADER + "".join(rows)) == (
        "m.csv, row 150001 (header not counted): low '9..' is not a number"
    )
    rows[150_000] = "1,2\n"
    assert refusal(load, HEADER + "".join(rows)).startswith("m.csv, row 150001 (header not counted): has 2 columns")


def test_a_price_that_never_changes_is_refused(load):
    rows = "".join(f"2020-01-0{day},10,10,10,10,5\n" for day in range(1, 5))
    assert refusal(load, HEADER + rows).startswith("m.csv: close is 10.0 in every row: ")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", "none.csv: there is no such file under MARKET_DATA_ROOT, "),
        ("deep/none.csv", "deep/none.csv: there is no such file under MARKET_DATA_ROOT, "),
        ("folder", "folder: is a directory"),
        (".", ".: is a directory"),
        ("../outside.csv", "../outside.csv: leads outside MARKET_DATA_ROOT, "),
        ("folder/../../outside.csv", "folder/../../outside.csv: leads outside MARKET_DATA_ROOT, "),
        ("/etc/passwd", "/etc/passwd: is an absolute path; name the file relative to MARKET_DATA_ROOT"),
        ("link.csv", "link.csv: leads outside MARKET_DATA_ROOT, "),
        ("linked/outside.csv", "linked/outside.csv: leads outside MARKET_DATA_ROOT, "),
        ("proc.csv", "proc.csv: leads outside MARKET_DATA_ROOT, "),
        ("circle", "circle: cannot be opened: "),
        ("pipe", "pipe: is not a regular file"),
        ("x" * 300, f"{'x' * 300}: cannot be opened: "),
    ],
)
def test_only_regular_files_under_the_root_are_read(tmp_path, path, message):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.csv").write_text(HEADER + ROWS[0])
    (root / "link.csv").symlink_to("../outside.csv")
    (root / "linked").symlink_to(tmp_path)
    (root / "proc.csv").symlink_to("/proc/self/environ")
    (root / "circle").symlink_to("circle")
    os.mkfifo(root / "pipe")
    with pytest.raises(MarketDataError) as error:
        load_file(path, root)
    assert str(error.value).startswith(message)


def test_a_link_that_stays_under_the_root_is_followed(tmp_path):
    (tmp_path / "m.csv").write_text(HEADER + ROWS[0])
    (tmp_path / "newest.csv").symlink_to("m.csv")
    assert len(load_file("newest.csv", tmp_path)) == 1


def test_a_write_to_the_file_while_it_is_open_is_noticed(tmp_path):
    (tmp_path / "m.csv").write_text(HEADER + ROWS[0])
    with (tmp_path / "m.csv").open("rb") as file, unchanged_while_read(file):
        file.read()
    with (
        pytest.raises(MarketDataError, match="changed while it was read"),
        (tmp_path / "m.csv").open("rb") as file,
        unchanged_while_read(file),
        (tmp_path / "m.csv").open("a") as writer,
    ):
        writer.write(ROWS[1])


def test_a_file_that_is_still_being_written_is_refused(tmp_path):
    rows = (f"{1_500_000_000 + 60 * i},10,12,9,{10 + i % 2},5\n" for i in range(200_000))
    (tmp_path / "m.csv").write_text(HEADER + "".join(rows))
    started, stop = threading.Event(), threading.Event()

    def write():
        with (tmp_path / "m.csv").open("a") as file:
            while not stop.wait(0.001):
                file.write("half a row,")
                file.flush()
                started.set()

    writer = threading.Thread(target=write)
    writer.start()
    started.wait()
    try:
        with pytest.raises(MarketDataError, match=r"^m.csv: changed while it was read"):
            load_file("m.csv", tmp_path)
    finally:
        stop.set()
        writer.join()


def test_a_hundred_million_rows_are_refused_before_they_are_read(tmp_path):
    schema = pa.schema([("open", pa.bool_())])
    million = pa.record_batch([pa.nulls(1_000_000, pa.bool_())], schema=schema)
    with parquet.ParquetWriter(tmp_path / "m.parquet", schema) as writer:
        for _ in range(100):
            writer.write_batch(million, row_group_size=1_000_000)
    with pytest.raises(MarketDataError, match=r"m.parquet: has 100000000 rows; at most 10000000 are read"):
        load_file("m.parquet", tmp_path)


def test_a_csv_file_is_read_no_further_than_the_limit(load, monkeypatch):
    monkeypatch.setattr(price_file, "MAX_BARS", 2)
    assert refusal(load, HEADER + "".join(ROWS)) == (
        "m.csv, row 3 (header not counted): has more than 2 rows, the most that are read"
    )


@pytest.mark.skipif(
    not (SHARED / "BTC_USD-Hourly.csv").exists(), reason="the shared market data is not beside the checkout"
)
def test_the_hourly_bitcoin_candles_load_as_they_are():
    with capture_logs() as logs:
        market = load_market(MarketConfig(source="file", path="BTC_USD-Hourly.csv"), root=SHARED)
    assert len(market) == 33_259
    assert [time.isoformat() for time in market.span] == ["2018-05-15T06:00:00+00:00", "2022-03-01T00:00:00+00:00"]
    assert (market.open[0], market.volume[0]) == (8733.86, 4906603.14)
    assert (market.close[-1], market.volume[-1]) == (43312.27, 52.05632)
    assert market.gaps == 0
    assert market.bars_per_year == 8766.0
    assert [entry["event"] for entry in logs] == [
        "Rows of the market file were not in time order: sorted",
        "Market data loaded",
    ]
