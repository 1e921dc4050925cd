from datetime import UTC, datetime, timedelta

import pytest

from tests.core.market.price_files import HEADER, ROWS, columns
from tests.core.market.price_files import refusal as refusal_of


def refusal(load, content):
    return refusal_of(load, content, format="plain")


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
def test_a_file_without_a_table_of_bars_is_refused(load, content, message):
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
        ("2020-01-01 03:00:00,10,12,9,11,-5\n", "volume is -5.0; a volume is a finite number"),
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
def test_an_invalid_row_is_refused_with_its_number_and_rule(load, row, message):
    content = (HEADER + "".join(ROWS)).encode() + (row if isinstance(row, bytes) else row.encode())
    assert refusal(load, content).startswith(f"m.csv, row 4 (header not counted): {message}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"open": [10.0, None, 12.0]}, "m.csv, row 2 (header not counted): open is empty"),
        ({"open": [10.0, float("nan"), 12.0]}, "m.csv, row 2 (header not counted): open is nan; a price is"),
        ({"open": [True, True, True]}, "m.csv: column open holds bool; numbers are needed"),
        (
            {"open": [[1.0], [2.0], [3.0]]},
            "m.csv: column open holds list<element: double>; numbers, times or texts are needed",
        ),
        ({"timestamp": [True, True, True]}, "m.csv: column timestamp holds bool; an epoch or a date is needed"),
        ({"Open": [10.0, 11.0, 12.0]}, "m.csv: 2 columns are named open; "),
        ({"timestamp": ["1577836800", "x", "y"]}, "m.csv, row 2 (header not counted): timestamp 'x' is no epoch, but"),
    ],
)
def test_an_invalid_parquet_column_is_refused(load, changes, message):
    assert refusal(load, columns(**changes)).startswith(message)


def test_a_truncated_or_damaged_parquet_file_is_refused(load, tmp_path):
    load(columns())
    content = (tmp_path / "m.csv").read_bytes()
    assert refusal(load, content[: len(content) // 2]).startswith("m.csv: cannot be read as Parquet: ")
    damaged = content[:20] + b"\xff" * 40 + content[60:]
    assert refusal(load, damaged).startswith("m.csv")


@pytest.mark.parametrize("epoch", ["20200101", "202001010000", "0", "-1577836800", "3"])
def test_a_number_before_1980_is_refused_as_epoch(load, epoch):
    assert refusal(load, f"{HEADER}{epoch},10,12,9,11,5\n").startswith(
        f"m.csv, row 1 (header not counted): timestamp {epoch} is no epoch from 1980 on; write dates as 2020-01-31"
    )


@pytest.mark.parametrize("epoch", ["1577836800.5", "1577836800001", "1e30", "nan", "99999999999999999999"])
def test_an_epoch_that_is_not_a_whole_second_is_refused(load, epoch):
    assert refusal(load, f"{HEADER}1577836800,10,12,9,11,5\n{epoch},10,12,9,11,5\n").startswith(
        "m.csv, row 2 (header not counted): timestamp "
    )


def test_different_offsets_are_refused(load):
    rows = "2020-01-01T00:00:00+01:00,10,12,9,11,5\n2020-01-01T01:00:00+02:00,10,12,9,11,5\n"
    assert refusal(load, HEADER + rows) == (
        "m.csv, row 2 (header not counted): timestamp '2020-01-01T01:00:00+02:00' is not at offset +01:00 like the "
        "first row's; write all of them in UTC"
    )


def test_timestamps_up_to_14_hours_ahead_of_utc_are_accepted(load):
    soon = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    assert len(load(f"{HEADER}{soon + timedelta(hours=13)},10,12,9,11,5\n")) == 1
    assert "is in the future" in refusal(load, f"{HEADER}{soon + timedelta(hours=15)},10,12,9,11,5\n")


def test_an_invalid_row_of_a_sorted_file_keeps_its_number(load):
    bad = "2019-12-31 23:00:00,10,12,9,13,5\n"
    assert refusal(load, HEADER + ROWS[2] + ROWS[1] + bad + ROWS[0]).startswith(
        "m.csv, row 3 (header not counted): high"
    )
    assert refusal(load, HEADER + ROWS[2] + ROWS[1] + ROWS[2]).startswith(
        "m.csv, row 3 (header not counted): timestamp"
    )


def test_an_invalid_row_in_a_later_batch_has_the_right_number(load):
    rows = [f"{1_500_000_000 + 60 * i},10,12,9,{10 + i % 2},5\n" for i in range(200_000)]
    rows[150_000] = rows[150_000].replace(",9,", ",9..,")
    assert refusal(load, HEADER + "".join(rows)) == (
        "m.csv, row 150001 (header not counted): low '9..' is not a number"
    )
    rows[150_000] = "1,2\n"
    assert refusal(load, HEADER + "".join(rows)).startswith("m.csv, row 150001 (header not counted): has 2 columns")


def test_a_constant_price_is_refused(load):
    rows = "".join(f"2020-01-0{day},10,10,10,10,5\n" for day in range(1, 5))
    assert refusal(load, HEADER + rows).startswith("m.csv: close is 10.0 in every row: ")
