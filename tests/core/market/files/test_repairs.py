"""Repairs of rows: which rows are repaired or dropped, how they are counted, and which files are still refused."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from tests.core.market.price_files import columns, refusal

NAMES = "date,open,high,low,close\n"
DAYS = np.arange("2000-01-01", "2002-01-01", dtype="datetime64[D]").astype(str).tolist()


@pytest.mark.parametrize(
    ("row", "high"),
    [("54.10,54.09,53.90,54.00", 54.1), ("0.55,0.54,0.53,0.54", 0.55), ("54.11,54.09,53.90,54.00", None)],
)
def test_high_off_by_one_step_of_the_last_decimal_is_moved(load, row, high):
    text = f"{NAMES}{DAYS[0]},{row}\n{DAYS[1]},{row.split(',')[0]},60.00,0.50,{row.split(',')[0]}\n"
    if high is None:
        assert "high" in refusal(load, text)
    else:
        market = load(text)
        assert (market.high[0], market.reading.repairs) == (high, {"rounding": 1})


def test_whole_price_off_by_one_is_repaired_only_if_that_is_little(load):
    assert "row 1" in refusal(load, f"{NAMES}{DAYS[0]},10,9,8,9\n{DAYS[1]},10,12,8,10\n")
    market = load(f"{NAMES}{DAYS[0]},38012,38011,37000,38000\n{DAYS[1]},38012,38020,37000,38012\n")
    assert market.reading.repairs == {"rounding": 1}


def test_bad_timestamps_of_one_block_are_counted_exactly(load):
    minutes = np.datetime64("2000-01-01", "m") + np.arange(90_000)
    rows = [f"{time},10,12,9,{10 + place % 2}" for place, time in enumerate(minutes.astype(str))]
    rows[150::300] = [f"{bad},10,12,9,11" for bad in ("x", "2001-02-29", "1999-12-31 00:00:00.5")] * 100
    market = load(NAMES + "\n".join(rows), bad_rows="drop")
    assert (len(market), market.reading.drops) == (89_700, {"bad_rows": 300})


def test_bad_epochs_of_one_block_are_counted_exactly(load):
    rows = [f"{1_600_000_000 + 60 * place},10,12,9,{10 + place % 2}" for place in range(90_000)]
    rows[150::300] = ["0,10,12,9,11", "x,10,12,9,11", "1600000000.5,10,12,9,11"] * 100
    assert load(NAMES + "\n".join(rows), bad_rows="drop").reading.drops == {"bad_rows": 300}


def opens(*zeros):
    return NAMES + "".join(
        f"{day},{0 if place in zeros else 10},12,9,{10 + place % 2}\n" for place, day in enumerate(DAYS)
    )


def test_early_rows_without_opens_are_dropped_however_many_they_are(load):
    text = opens(*range(400))
    assert refusal(load, text).endswith("opens that they do not know; bad_rows: drop leaves these rows out")
    assert load(text, bad_rows="drop").reading.drops == {"bad_rows": 400}


def test_too_many_later_rows_without_opens_are_refused_with_that_reason(load):
    text = opens(*range(1, 400, 2))
    assert refusal(load, text).endswith("opens that they do not know; it has too few opens to be used")
    assert "200 of 731 rows are invalid" in refusal(load, text, bad_rows="drop")


def test_decimals_are_the_nearest_float64(load):
    closes = [Decimal("98.45"), Decimal("0.07"), Decimal("1234567.01")]
    prices = {"open": closes, "high": closes, "low": closes, "close": closes}
    table = pa.table(columns(**{name: pa.array(given, pa.decimal128(20, 8)) for name, given in prices.items()}))
    assert load(table, suspicious="warn").close.tolist() == [98.45, 0.07, 1234567.01]
