"""Columns of programs that write tables with types, and headers that differ from their rows."""

import pytest

from tests.core.market.price_files import columns, refusal

PRICES = {name: column for name, column in columns().items() if name != "timestamp"}
DAYS = columns()["timestamp"]


@pytest.mark.parametrize(
    "table",
    [
        PRICES | {"__index_level_0__": DAYS},
        PRICES | {"timestamp": DAYS, "__index_level_0__": [7, 8, 9]},
        {f"('{name.title()}', 'AAPL')": column for name, column in PRICES.items()} | {"Date": DAYS},
        {"('Date', '')": DAYS} | {f"('AAPL', '{name.title()}')": column for name, column in PRICES.items()},
    ],
    ids=["index", "unused index", "yfinance", "yfinance by ticker"],
)
def test_names_that_pandas_gives_to_columns_are_understood(load, table):
    market = load(table)
    assert (str(market.timestamp[0]), market.close.tolist()) == ("2020-01-01T00:00:00", [11.0, 12.0, 13.0])
    assert market.volume.tolist() == [5.0, 0.0, 7.0]


def test_instrument_of_two_in_pairs_of_names_is_chosen(load):
    two = {f"('{name.title()}', 'A')": [1.0] * 3 for name in PRICES}
    two |= {f"('{name.title()}', 'B')": column for name, column in PRICES.items()}
    assert load(two | {"Date": DAYS}, symbol="B").close.tolist() == [11.0, 12.0, 13.0]


def test_dates_of_digits_in_a_typed_column_are_dates(load):
    assert str(load(columns(timestamp=[20200101, 20200102, 20200103])).timestamp[1]) == "2020-01-02T00:00:00"


def test_column_of_null_volumes_counts_as_no_volume(load):
    assert not load(columns(volume=[None] * 3)).has_volume
    assert not load("date,open,high,low,close,volume\n2024-01-01,10,12,9,11,\n2024-01-02,10,12,9,10,\n").has_volume


def test_trailing_separator_and_header_repeated_in_capitals_are_read(load):
    text = "date,open,high,low,close,\n2024-01-01,10,12,9,11\nDATE,OPEN,HIGH,LOW,CLOSE\n2024-01-02,10,12,9,10\n"
    market = load(text)
    assert (market.close.tolist(), market.reading.drops) == ([11.0, 10.0], {"repeated_headers": 1})


NOTED = "date,open,high,low,close,note\n"
DAYS_OF_MARCH = [f"2024-03-{day:02},10,12,9,{10 + day % 2},x\n" for day in range(1, 29)]


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("bad_rows", ["refuse", "drop"])
def test_quotation_mark_that_makes_a_cell_of_several_rows_is_refused(load, closed, bad_rows):
    rows = list(DAYS_OF_MARCH)
    rows[5] = rows[5].replace("x", '"x')
    if closed:
        rows[15] = rows[15].replace("x", 'y"')
    message = "m.csv, row 6 (header not counted): has a quotation mark that is not closed in its line; remove it"
    assert refusal(load, NOTED + "".join(rows), bad_rows=bad_rows) == message


@pytest.mark.parametrize("note", ['"two\nlines"', '"a,b"', '5" disk', '""'])
def test_text_with_line_breaks_and_separators_loses_no_row(load, note):
    rows = list(DAYS_OF_MARCH)
    rows[5] = rows[5].replace("x", note)
    assert len(load(NOTED + "".join(rows))) == 28


def test_names_of_columns_may_have_line_breaks_in_quotation_marks(load):
    header = '"Prices\nof all days",,,,,\ndate,"open\n(USD)",high,low,close,note\n'
    assert load(header + "".join(DAYS_OF_MARCH)).open.tolist() == [10.0] * 28
