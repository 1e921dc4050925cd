"""Each layout in `vendor_samples.txt` loads without, or with the named, settings."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rl_training.core.market_layouts import LAYOUTS
from tests.core.market.price_files import refusal

TEXT = Path(__file__).with_name("vendor_samples.txt").read_text(encoding="utf-8")
SAMPLES = re.findall(r">>> (\w+) (\[[^\n]*?\]) (\{[^\n]*\}) (\w+): ([^\n]+)\n(.*?\n)(?=>>>|\Z)", TEXT, re.DOTALL)
# The kinds of samples in shared/data/formats which show a fault of the rows: the tests below plant it in two layouts.
FAULTS = {"one_bad_tick", "high_one_rounding_step_below_close", "last_day_twice"}
# Rows with a place for the high and the close.
KRAKEN = "{epoch},10.0,{0},9.9,{1},5,40\n"
SEMICOLONS = "{date};{1};10.0;{0};9.9\n"


@pytest.mark.parametrize(("layout", "first", "settings", "kind", "source", "text"), SAMPLES)
def test_file_in_the_layout_of_a_vendor_loads(load, layout, first, settings, kind, source, text):
    market = load(text, **json.loads(settings))
    bar = tuple(float(getattr(market, name)[0]) for name in ("open", "high", "low", "close", "volume"))
    time, *prices, volume = json.loads(first)
    assert [str(market.timestamp[0]), *bar[:4]] == [time, *prices]
    assert math.isnan(bar[4]) if volume is None else bar[4] == volume
    assert (market.reading.layout, len(market)) == (layout, 3 if "metatrader4: HistData" in f"{kind}: {source}" else 2)


def test_every_sample_has_layout_bar_settings_kind_and_source():
    assert len(SAMPLES) == TEXT.count(">>>")


def test_every_layout_has_a_sample():
    in_shared_data = {"kraken_ohlcvt", "stooq_bulk"}
    covered = {layout for layout, *_ in SAMPLES} | in_shared_data
    assert [layout.name for layout in LAYOUTS if layout.name not in covered] == []


def test_each_kind_of_sample_has_two_more_layouts():
    layouts = Counter(kind for *_, kind, _source, _text in SAMPLES)
    shared = Path(__file__).parents[5] / "shared" / "data" / "formats"
    kinds = {path.stem for path in shared.glob("*.csv")} - FAULTS
    assert {kind: layouts[kind] for kind in kinds if layouts[kind] < 2} == {}


def days(layout):
    """Return the header and the lines of a file of 60 days."""
    times = np.arange("2024-08-01", "2024-09-30", dtype="datetime64[D]")
    closes = [f"10.{1 + day % 2}" for day in range(60)]
    lines = [
        layout.format("10.3", close, date=str(time), epoch=time.astype("M8[s]").astype(int))
        for time, close in zip(times, closes, strict=True)
    ]
    return ("Datum;Schlusskurs;Erster;Hoch;Tief\n" if layout is SEMICOLONS else ""), lines


@pytest.mark.parametrize("layout", [KRAKEN, SEMICOLONS], ids=["kraken", "semicolons"])
def test_fault_in_another_layout_is_treated_as_in_the_sample(load, layout):
    header, lines = days(layout)
    assert load("".join([header, *lines, lines[-1]])).reading.drops == {"duplicate_rows": 1}
    rounded = "".join([header, *lines[:-1], layout.format("10.3", "10.3001", date="2024-09-29", epoch=1727568000)])
    assert load(rounded).reading.repairs == {"rounding": 1}
    lines[40] = layout.format("10000.0", "10000.0", date="2024-09-10", epoch=1725926400)
    tick = "".join([header, *lines])
    assert "a bad tick; bad_rows: drop leaves such bars out" in refusal(load, tick)
    assert load(tick, bad_rows="drop").reading.drops == {"bad_ticks": 1}
