from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from tests.core.market.price_files import HEADER, ROWS, columns


@pytest.fixture(params=["auto", "plain"])
def load(load, request):
    return partial(load, format=request.param)


SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def test_csv_and_parquet_with_the_same_bars_give_the_same_market(load):
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
def test_epochs_of_any_unit_and_iso_dates_are_read(load, first, second):
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


def test_column_names_match_in_any_case_and_others_are_ignored(load):
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


def test_rows_out_of_time_order_are_sorted_and_logged(load):
    with capture_logs() as logs:
        market = load(HEADER + ROWS[2] + ROWS[0] + ROWS[1])
    assert market.close.tolist() == [11.0, 12.0, 13.0]
    assert [(entry["event"], entry["rows"]) for entry in logs] == [
        ("Rows of the market file were not in time order: sorted", 3)
    ]


def test_rows_in_time_order_are_not_logged(load):
    with capture_logs() as logs:
        load(HEADER + "".join(ROWS))
    assert logs == []


def test_a_hole_is_counted_and_not_filled(load):
    market = load(HEADER + "".join(ROWS) + "2020-01-01 06:00:00,12,14,11,13,7\n")
    assert len(market) == 4
    assert market.gaps == 3


@pytest.mark.skipif(
    not (SHARED / "BTC_USD-Hourly.csv").exists(), reason="the shared market data is not beside the checkout"
)
@pytest.mark.parametrize("layout", ["auto", "plain"])
def test_the_hourly_bitcoin_file_loads_unchanged(layout):
    with capture_logs() as logs:
        market = load_market(MarketConfig(source="file", path="BTC_USD-Hourly.csv", format=layout), root=SHARED)
    assert market.digest == "c7cf1e0ca4eee3a4fe3bd0ed51beb8ae40f0454d071ebed67bca62a1c7b68250"
    assert market.reading is not None
    assert market.reading.suspicions == {}
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
