"""Further columns of a price file: which can be features, their values, and refusals."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.checking import check_market
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig

FORMATS = Path(__file__).parents[5] / "shared" / "data" / "formats"
HEADER = "date,open,high,low,close,funding,venue,signal\n"
FUNDING = ("0.5", "-1.25", "1e-3", "0", "2")
DAYS = [f"2024-01-0{day},10,12,9,{10 + day % 2},{value},x,{day}" for day, value in enumerate(FUNDING, 1)]


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a file and reads it with further columns."""

    def read(rows, *columns, header=HEADER, name="m.csv", **settings):
        (tmp_path / name).write_text(header + "\n".join(rows) + "\n")
        return load_file(MarketConfig(source="file", path=name, **settings), tmp_path, columns)

    return read


@pytest.fixture
def refused(read):
    def refused(*arguments, **settings):
        with pytest.raises(MarketDataError) as error:
            read(*arguments, **settings)
        return str(error.value)

    return refused


@pytest.fixture
def check(read, tmp_path):
    """Return a function that writes a file and returns which of its columns can be features, and why others cannot."""

    def check(rows, *columns, **settings):
        read(rows, **settings)
        config = MarketConfig(source="file", path="m.csv", bad_rows=settings.get("bad_rows", "refuse"))
        found = check_market(config, tmp_path, columns).as_json()
        return found["features"], found["no_features"]

    return check


def own(market):
    return {name: values.tolist() for name, values in market.own.items()}


@pytest.mark.skipif(not FORMATS.exists(), reason="the shared market data is not beside the checkout")
def test_columns_of_sample_are_offered_and_read():
    config = MarketConfig(source="file", path="own_signals.csv")
    market = load_market(config, root=FORMATS, columns=("sentiment", "funding"))
    assert list(market.own) == ["funding", "sentiment"]
    assert market.own["sentiment"][:3].tolist() == [0.978, 0.889, -0.141]
    assert market.reading is not None
    assert (market.reading.unused, market.reading.columns["column:funding"]) == ((), "funding")
    check = check_market(config, FORMATS)
    assert check.as_json()["features"] == ["column:funding", "column:sentiment"]
    assert "can be features: column:funding, column:sentiment" in list(check.lines())


@pytest.mark.skipif(not FORMATS.exists(), reason="the shared market data is not beside the checkout")
def test_digest_is_that_of_earlier_releases_unless_columns_are_named():
    config = MarketConfig(source="file", path="own_signals.csv")
    plain = load_file(config, FORMATS)
    assert (plain.own, plain.digest) == ({}, "ce0f22c231d614dfa49ef166cff806df64f87bad4e22b681896d29e028d25d6c")
    funding, both = (load_file(config, FORMATS, columns) for columns in (("funding",), ("sentiment", "funding")))
    assert both.digest == "63e452049d7f5c130424f47943ab97f9ede4f85e3e0b8c503f9aec6e7fd4574d"
    swapped = plain.with_own({"funding": both.own["sentiment"], "sentiment": both.own["funding"]})
    assert len({plain.digest, funding.digest, both.digest, swapped.digest}) == 4


def test_values_stay_with_their_bars_in_any_order_of_rows(read):
    rows = [DAYS[0], *DAYS[:1], *DAYS[1:]]
    assert own(read(rows[::-1], "funding")) == {"funding": [0.5, -1.25, 0.001, 0.0, 2.0]}
    market = read(DAYS, "funding", "signal")[1:3]
    assert own(market) == {"funding": [-1.25, 0.001], "signal": [2.0, 3.0]}


def test_numbers_follow_the_form_of_the_file(read):
    rows = [
        f"{day:02}.12.2024;1.000,5;1.200,5;900,5;{1000 + day % 2},5;{value}"
        for day, value in ((13, "1.234,5"), (14, "-0,25"), (15, "2,5K"))
    ]
    header = "Datum;Eröffnung;Hoch;Tief;Schluss;Signal (Tag)\n"
    assert own(read(rows, "Signal (Tag)", header=header)) == {"Signal (Tag)": [1234.5, -0.25, 2500.0]}


def test_further_column_decides_the_decimal_sign_of_whole_prices(read):
    rows = [f"{day}.12.2024;10;12;9;{10 + day % 2};0,{day}1" for day in (13, 14, 15)]
    header = "Datum;Open;High;Low;Close;Signal\n"
    assert own(read(rows, "Signal", header=header)) == {"Signal": [0.131, 0.141, 0.151]}


def test_per_cent_and_typographic_minus_are_read_in_further_columns_alone(read, refused):
    rows = [f"2024-01-0{day},10,12,9,{9 + day},{value}" for day, value in enumerate(("0.12%", "\u22125 %", "0"), 1)]
    header = "date,open,high,low,close,change\n"
    assert own(read(rows, "change", header=header)) == {"change": [0.0012, -0.05, 0.0]}
    assert "open '10%' is not a number" in refused([rows[0].replace(",10,", ",10%,")], "change", header=header)


def test_typed_and_compressed_tables_have_further_columns(tmp_path):
    columns = {
        "date": np.arange("2024-01-01", "2024-01-04", dtype="datetime64[D]").astype("datetime64[s]"),
        **{name: [10.0, 11.0, 12.0] for name in ("open", "high", "low", "close")},
        "rate": pa.array([1, -2, 3], pa.int8()),
        "venue": ["x", "y", "z"],
        "flag": [True, False, True],
    }
    parquet.write_table(pa.table(columns), tmp_path / "m.parquet")
    config = MarketConfig(source="file", path="m.parquet")
    assert own(load_file(config, tmp_path, ("rate",))) == {"rate": [1.0, -2.0, 3.0]}
    found = check_market(config, tmp_path).as_json()
    assert found["features"] == ["column:rate"]
    assert found["no_features"] == {
        "venue": "it holds text, such as 'x'",
        "flag": "column column:flag holds bool; numbers are needed",
    }


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nope", "no column is named 'nope'"),
        ("venue", "it holds text, such as 'x'"),
        ("close", "the column 'close' is read as close already"),
        ("Funding", "no column is named 'Funding'"),
    ],
)
def test_column_that_can_be_no_feature_is_refused_with_those_that_can(refused, name, why):
    expected = (
        f"m.csv: column:{name} can be no feature: {why}; columns that can be features: column:funding, column:signal"
    )
    assert refused(DAYS, name) == expected


def test_name_of_two_columns_is_refused(refused):
    header = HEADER.replace("venue", "signal")
    assert "column:signal can be no feature: several columns have this name" in refused(DAYS, "signal", header=header)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "column:funding is empty"),
        ("NaN", "column:funding is empty"),
        ("inf", "column:funding 'inf' is no finite number"),
        ("1e31", "column:funding '1e31' is no finite number"),
        ("0,5x", "column:funding '0,5x' is no finite number; a decimal comma needs the setting decimal"),
    ],
)
def test_row_without_number_is_refused_or_dropped(read, refused, value, why):
    value = f'"{value}"' if "," in value else value
    rows = [
        f"2024-{1 + day // 28:02}-{1 + day % 28:02},10,12,9,{10 + day % 2},{value if day == 210 else day},x,1"
        for day in range(252)
    ]
    expected = f"m.csv, row 211 (header not counted): {why}; write a number there, or set bad_rows to drop"
    assert refused(rows, "funding").startswith(expected)
    assert len(read(rows, "signal")) == 252
    market = read(rows, "funding", bad_rows="drop")
    assert (len(market), market.reading.drops) == (251, {"column_values": 1})
    assert market.own["funding"][209:212].tolist() == [209.0, 211.0, 212.0]


def test_rows_before_the_first_value_are_dropped_however_many_they_are(read, refused):
    rows = [f"2024-01-{day:02},10,12,9,{10 + day % 2},{'' if day < 20 else day},x,1" for day in range(1, 31)]
    assert len(read(rows[::-1], "funding", bad_rows="drop")) == 11
    rows[22], rows[24] = rows[22].replace(",23,", ",,"), rows[24].replace(",25,", ",,")
    assert "21 of 30 rows have no usable number in column:funding" in refused(rows, "funding", bad_rows="drop")


def test_rows_that_differ_only_in_a_read_further_column_are_refused(read, refused):
    rows = [*DAYS, DAYS[-1].replace(",2,x", ",3,x")]
    assert len(read(rows)) == 5
    assert "timestamp 2024-01-05T00:00:00 appears twice" in refused(rows, "funding")


def test_check_looks_at_all_rows(check):
    rows = [
        f"2024-{1 + day // 28:02}-{1 + day % 28:02},10,12,9,{10 + day % 2},{day if day < 240 else ''},x,1"
        for day in range(252)
    ]
    assert check(rows) == (
        ["column:signal"],
        {"funding": "row 241 is empty, and 11 others", "venue": "it holds text, such as 'x'"},
    )
    assert check(rows, bad_rows="drop")[0] == ["column:funding", "column:signal"]


def test_market_of_a_policy_is_checked_with_its_columns(tmp_path, read):
    read(DAYS)
    config = MarketConfig(source="file", path="m.csv")
    assert check_market(config, tmp_path, ("funding",)).usable
    found = check_market(config, tmp_path, ("venue",))
    assert found.sentence.startswith("Not usable: m.csv: column:venue can be no feature: it holds text")
    assert (len(found.market or ()), found.as_json()["features"]) == (5, ["column:funding", "column:signal"])


@pytest.mark.parametrize("source", ["sp500", "planted", "exchange"])
def test_source_without_file_is_refused(source):
    config = MarketConfig(source=source, exchange="kraken", symbol="BTC/USD")
    with pytest.raises(MarketDataError, match=f"^column:funding can be no feature: .* the source is {source}$"):
        load_market(config, columns=("funding",))
    assert not check_market(config, Path(), ("funding",), cached=True).usable


def test_plain_layout_names_what_it_leaves_out(read, refused):
    header, rows = HEADER.replace("venue", "volume"), [row.replace("x", "1") for row in DAYS]
    assert read(rows, header=header, format="plain").reading.unused == ("funding", "signal")
    expected = "m.csv: column:funding can be no feature: the layout plain has no further columns; set format to auto"
    assert refused(rows, "funding", header=header, format="plain") == expected
