"""Recognition of files: recognised layouts, refusals because two readings fit, and the effect of each setting."""

import gzip
import io
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from rl_training.core.market_config import MarketConfig
from tests.core.market.files.packers import PACKERS
from tests.core.market.price_files import HEADER, ROWS, columns, refusal

# The header has no time of compression, which would make test names differ between parallel processes.
TWICE = gzip.compress(gzip.compress(b"x" * 99, mtime=0), mtime=0)

NAMES = "date,open,high,low,close\n"


def test_ambiguous_commas_are_refused_until_decimal_is_set(load):
    text = "date;open;high;low;close\n2024-01-01;1,010;1,012;1,009;1,011\n2024-01-02;1,011;1,013;1,010;1,012\n"
    assert refusal(load, text) == (
        "m.csv: its first prices '1,010', '1,012', '1,009' are 1010, 1012, 1009 or 1.010, 1.012, 1.009: set decimal to "
        "'.' for the first reading or to ',' for the second"
    )
    assert (load(text, decimal=".").open[0], load(text, decimal=",").open[0]) == (1010.0, 1.01)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "15.000\t16.000\t14.000\t15.500\t61.507",
            "prices '15.000', '16.000', '14.000' are 15000, 16000, 14000 or 15.000",
        ),
        (
            "15\t16\t14\t15\t8.922",
            "volumes '8.922' are 8922 or 8.922: set decimal to ',' for the first reading or to '.'",
        ),
    ],
)
def test_ambiguous_points_are_refused_until_decimal_is_set(load, row, message):
    text = "Date\tOpen\tHigh\tLow\tClose\tVolume\n2024-01-01\t" + row
    assert refusal(load, text).startswith(f"m.csv: its first {message}")
    assert load(text, decimal=",").volume[0] == 1000 * load(text, decimal=".").volume[0]


def test_layout_with_decimal_points_settles_ambiguous_prices(load):
    header = "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
    assert load(header + "2024.08.01\t151.234\t151.300\t151.200\t151.250\t839\t0\t2\n").open[0] == 151.234
    assert load(NAMES + "2024-01-01,151.234,151.300,151.200,151.250\n").open[0] == 151.234


@pytest.mark.parametrize(
    ("price", "value"),
    [("1.234,50", 1234.5), ("1,234.50", 1234.5), ("$1,234.5", 1234.5), ("1'234.5", 1234.5), ("1 234,5", 1234.5)],
)
def test_prices_in_the_style_of_a_country_are_read(load, price, value):
    rows = "".join(f"2024-01-0{day};{price};{price};{price};{price};{volume}\n" for day, volume in ((1, "1"), (2, "2")))
    text = "date;open;high;low;close;volume\n" + rows + "2024-01-03;1;1;1;1;1\n"
    assert load(text, suspicious="warn").close.tolist() == [value, value, 1.0]


def test_volumes_with_units_are_read_exactly(load):
    rows = ["2024-01-01,10,12,9,11,1.1K", "2024-01-02,10,12,9,10,8.20M", "2024-01-03,10,12,9,11,-"]
    market = load("date,open,high,low,close,Vol.\n" + "\n".join(rows))
    assert market.volume.tolist() == [1100.0, 8_200_000.0, 0.0]
    assert market.reading.repairs == {"volume_missing": 1}


@pytest.mark.parametrize("compression", PACKERS)
def test_compressed_file_gives_the_bars_of_the_text(load, compression):
    text = (HEADER + "".join(ROWS)).encode()
    market = load(PACKERS[compression]([text]), "m.packed")
    assert (market.digest, market.reading.compression) == (load(text).digest, compression)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_feather_file_gives_the_bars_of_the_text(load, compression):
    table, sink = pa.table(columns()), io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    assert load(sink.getvalue(), "m.feather").digest == load(HEADER + "".join(ROWS)).digest


MT5 = "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n"
SPACED = "2024-01-01;1\u00a0010,5;1\u00a0012,5;1\u00a0009,5;1\u00a0011,5 €\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_in_utf_16_is_read(load, encoding):
    mark = "" if encoding == "utf-16" else "\ufeff"
    days = "".join(f"2024.08.0{day}\t10\t12\t9\t{9 + day}\t839\t0\t2\r\n" * 9000 for day in (1, 2))
    text = (mark + MT5 + days).encode(encoding)
    for content in (text, gzip.compress(text, mtime=0)):
        market = load(content)
        assert (market.reading.layout, market.close.tolist()) == ("metatrader5", [10.0, 11.0])


@pytest.mark.parametrize("rows", ["", "2024-01-02;1012,5;1012,5;1012,5;1012,5\n" * 120_000], ids=["head", "block"])
def test_rows_in_windows_1252_below_an_ascii_header_are_read(load, rows):
    text = (
        "date;open;high;low;close\n" + rows + SPACED + SPACED.replace("01;", "03;").replace("011,5", "010,5")
    ).encode("cp1252")
    assert (load(text).close[0], load(text, bad_rows="drop").open[-1]) == (1011.5, 1010.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TWICE, "m.csv: is compressed twice, with gzip outside; unpack it once"),
        (
            gzip.compress(b"PAR1 and more", mtime=0),
            "m.csv: is a Parquet file inside gzip; unpack it, because it is compressed",
        ),
        (b"\x1f\x8b and no more", "m.csv: cannot be unpacked as gzip: "),
        (b"PK\x03\x04 and no more", "m.csv: cannot be unpacked as zip: "),
        (b"\xd0\xcf\x11\xe0", "m.csv: is an Excel workbook; save the sheet as CSV"),
        (b"<!DOCTYPE html><html>", "m.csv: is a web page; download the file itself"),
        (HEADER, "m.csv: has a header and no rows"),
        ("one line of text\n", "m.csv: is no table of prices: no separator gives 5 columns; its first line is 'one "),
        (
            "1,2,3,4,5\n2,3,4,5,6\n",
            "m.csv: has no header, and no known order of 5 columns fits its first row: '1', '2', '3', '4', '5';",
        ),
        ("date,price,market_cap,total,x\n2024-01-01,10,11,12,13\n", "m.csv: no column is named open, high, low; the "),
        ("date,open,open,high,low,close\n2024-01-01,1,1,1,1,1\n", "m.csv: 2 columns are named 'open'; the header has "),
        (
            "Date,Time,A.Open,A.High,A.Low,A.Close,B.Open,B.High,B.Low,B.Close\n2024-01-01,1:00,1,1,1,1,1,1,1,1\n",
            "m.csv: has columns of 2 instruments: a, b; choose the columns of one by their names",
        ),
        (
            "2024-01-01,10,9,12,11\n2024-01-02,11,10,13,12\n",
            "m.csv: has no header, and no known order of 5 columns puts open and close between low",
        ),
        (
            "date,cl,hi,lo,op,vol\n2024-01-01,11,12,9,10,5\n",
            "m.csv: no column is named open, high, low, close; the header has 'date', 'cl', 'hi', 'lo', 'op', 'vol'; "
            "name them with the setting columns",
        ),
        (
            NAMES + "2024-01-01,10,12,9,11\n2024-01-01,11,13,10,12\n",
            "m.csv, row 2 (header not counted): timestamp 2024-01-01T00:00:00 appears twice, with other prices; the "
            "column 'date' holds dates alone, so several bars of a day need a column with the time of day",
        ),
        (
            NAMES + "2024-11-03 01:30,10,12,9,11\n2024-11-03 01:30,11,13,10,12\n",
            "m.csv, row 2 (header not counted): timestamp 2024-11-03T01:30:00 appears twice, with other prices; this "
            "may be the hour that the end of daylight saving time repeats: set timezone to the file's zone",
        ),
        (
            "Date,Timestamp,Open,High,Low,Close\n2024-01-01,09:30,10,12,9,11\n",
            "m.csv: the column 'Timestamp' holds times of day alone; name it and the column of the dates, as in "
            "columns: {'timestamp': 'Date', 'time': 'Timestamp'}",
        ),
        (
            NAMES + "2024-01-01,10,12,9,11\nSource: a vendor\n",
            "m.csv, row 2 (header not counted): has 1 columns, the header has 5: 'Source: a vendor'; bad_rows: drop",
        ),
        (
            NAMES + "2024-01-01,0,12,9,11\n2024-01-02,11,13,10,12\n",
            "m.csv, row 1 (header not counted): open is 0 in 1 row, as some vendors write opens that they do",
        ),
    ],
)
def test_refusal_names_the_cause_and_what_to_do(load, content, message):
    assert refusal(load, content).startswith(message)


def test_columns_are_chosen_by_name_and_by_index(load):
    text = "when,a,b,c,d,e\n2024-01-01,1,10,12,9,11\n2024-01-02,1,11,13,10,12\n"
    chosen = {"timestamp": "when", "open": "b", "high": 3, "low": "d", "close": 5}
    assert load(text, columns=chosen).close.tolist() == [11.0, 12.0]
    assert refusal(load, text, columns=chosen | {"volume": "x"}).startswith(
        "m.csv: columns names 'x' for volume, which the file does not have; it has 'when', 'a', "
    )


def test_column_chosen_by_its_index_may_have_the_name_of_another(load):
    text = "date,open,high,low,close,close\n2024-01-01,10,12,9,11,9\n2024-01-02,11,13,10,12,10\n"
    assert "choose one by its index, as in columns: {'close': '4'}" in refusal(load, text)
    assert load(text, columns={"close": "4"}).close[0] == 11
    assert load(text, columns={"close": "5"}).close[0] == 9


@pytest.mark.parametrize("symbol", ["DAX 40", "Österreich", "österreich "])
def test_instrument_of_any_name_is_chosen(load, symbol):
    text = "date,symbol,open,high,low,close\n"
    text += "".join(f"2024-01-0{day},{name},10,12,9,{9 + day}\n" for day in (1, 2) for name in ("DAX 40", "Österreich"))
    assert load(text, symbol=symbol).close.tolist() == [10.0, 11.0]


def test_rows_without_instrument_are_refused_until_symbol_is_set(load):
    text = "date,symbol,open,high,low,close\n2024-01-01,,9,9,9,9\n2024-01-01,A,10,12,9,11\n2024-01-02,A,10,12,9,10\n"
    assert refusal(load, text) == (
        "m.csv: has rows whose instrument is empty, beside 'A': set symbol to 'A', which leaves these rows out"
    )
    assert load(text, symbol="A").close.tolist() == [11.0, 10.0]


def test_unknown_words_above_the_columns_are_names_for_the_setting_columns(load):
    rows = "2024-01-01,null,null,null,null\n2024-01-02,11,12,9,10\n2024-01-03,12,13,10,11\n"
    text = "built by hand\nwhen,cl,hi,lo,op\n" + rows
    chosen = {"open": "op", "high": "hi", "low": "lo", "close": "cl"}
    assert load(text, columns=chosen).open.tolist() == [10.0, 11.0]


def test_swapped_open_and_close_without_header_are_refused(load):
    closes = [100 + 7 * number % 5 for number in range(31)]
    bars = list(pairwise(closes))
    rows = [f"2024-01-{day:02},{close},110,90,{opened}\n" for day, (opened, close) in enumerate(bars, 1)]
    expected = (
        "m.csv: has no header, and its columns 1 and 4 may be open and close, as in the layout "
        "without_header_or_volume, or close and open, which continues better from row to row: set format to "
        "without_header_or_volume, or columns to {'open': '4', 'close': '1', ...}"
    )
    assert refusal(load, "".join(rows)) == refusal(load, "".join(reversed(rows))) == expected
    assert load("".join(rows), format="without_header_or_volume").open[0] == closes[1]
    chosen = {"timestamp": "0", "open": "4", "high": "2", "low": "3", "close": "1"}
    assert load("".join(rows), columns=chosen).open[0] == closes[0]


def test_format_and_skip_rows_override_recognition(load):
    text = "made by hand,1,2,3,4\n1722517200,12,9,11,10,5\n1722520800,13,10,12,11,6\n"
    chosen = {"timestamp": "0", "high": "1", "low": "2", "close": "3", "open": "4"}
    assert load(text, columns=chosen, skip_rows=1).open.tolist() == [10.0, 11.0]
    assert refusal(load, text, format="kraken_ohlcvt", skip_rows=1).startswith(
        "m.csv: has no header, and no known order of 6 columns fits"
    )


def test_dropped_rows_are_counted_and_later_rows_keep_their_numbers(load):
    rows = [f"2024-01-{day:02},10,12,9,{10 + day % 2}" for day in range(1, 31)]
    rows[3], rows[7], rows[9] = "2024-01-04,10,12", "2024-01-08,10,12,9,x", "soon,10,12,9,11"
    market = load(NAMES + "\n".join(rows), bad_rows="drop")
    assert (len(market), market.reading.drops) == (27, {"bad_rows": 3})
    again = NAMES + "\n".join([*rows, "2120-01-01,10,12,9,11"])
    assert refusal(load, again, bad_rows="drop").startswith("m.csv, row 31 (header not counted): timestamp 2120-01-01")


def test_ragged_row_that_is_not_utf8_is_dropped_without_output(load, capfd):
    rows = [f"2024-01-{day:02},10,12,9,{10 + day % 2}" for day in range(1, 31)]
    text = (NAMES + "\n".join(rows)).encode().replace(b"2024-01-15,10", b"2024-01-15,\xe9\xff,10")
    assert load(text, bad_rows="drop").reading.drops == {"bad_rows": 1}
    assert capfd.readouterr().err == ""


def test_unused_columns_are_reported(load):
    reading = load("date,open,high,low,close,funding\n2024-01-01,10,12,9,11,1\n2024-01-02,10,12,9,10,1\n").reading
    assert reading.summary()["unused"] == ["funding"]


def test_layout_gives_the_bars_of_the_same_prices_in_the_plain_layout(load):
    generator = np.random.default_rng(0)
    closes = np.round(1000 * np.exp(np.cumsum(generator.normal(0, 0.01, 300))), 2)
    plain, european, american = [], [], []
    for day, close in enumerate(closes.tolist()):
        time = np.datetime64("2024-01-01T00:00") + np.timedelta64(day, "h")
        prices = [f"{value:.2f}" for value in (close, close + 1, close - 1, close)]
        date, clock = str(time).split("T")
        year, month, number = date.split("-")
        plain.append(",".join([str(time), *prices, "5"]))
        commas = [f"{float(price):,.2f}".translate(str.maketrans(",.", ".,")) for price in prices]
        european.append(";".join([f"{number}.{month}.{year} {clock}", *commas, "5"]))
        american.append(",".join([f"{month}/{number}/{year}", clock, *[f'"${float(p):,.2f}"' for p in prices], "5"]))
    expected = load(HEADER + "\n".join(plain), format="plain")
    assert load("Datum;Eröffnung;Hoch;Tief;Schluss;Volumen\n" + "\n".join(european)).digest == expected.digest
    assert load("Date,Time,Open,High,Low,Close,Volume\n" + "\n".join(american)).digest == expected.digest


def test_market_of_other_settings_of_reading_is_another_market():
    config = MarketConfig(source="file", path="m.csv", columns={"close": "x"})
    assert config.identity != MarketConfig(source="file", path="m.csv").identity
    assert config.identity == config.model_copy(update={"suspicious": "warn", "train_fraction": 0.5}).identity


@pytest.mark.parametrize("header", ["when;first;top", "when;first;top;bottom;last one;much;flag;note"])
def test_header_of_unknown_words_and_other_width_than_rows_is_refused(load, header):
    rows = "".join(f"2024-01-{day:02};10;12;9;{10 + day % 2};5\n" for day in range(1, 10))
    message = refusal(load, f"{header}\n{rows}")
    words = header.split(";")
    assert message.startswith(f"m.csv: the line above its first row has {len(words)} words, and the row has 6 cells: ")
    assert all(repr(word) in message for word in words)
    assert load(f"{header}\n{rows}", skip_rows=1).open[0] == 10
    assert load(f"Prices of a vendor\n{rows}").open[0] == 10


@pytest.mark.parametrize("volume", ["5000", "151.23", "2575"])
def test_volume_after_the_date_is_no_time_of_day(load, volume):
    rows = [f"2024-01-0{day},{volume},10,12,9,{10 + day % 2}\n" for day in range(1, 8)]
    assert "has no header, and no known order of 6 columns" in refusal(load, "".join(rows))
