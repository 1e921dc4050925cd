"""Each layout in `vendor_samples.txt` loads without, or with the named, settings."""

import json
import math
import re
from pathlib import Path

import pytest

from rl_training.core.market_layouts import LAYOUTS

SAMPLES = re.findall(
    r">>> (\w+) (\[[^\n]*?\]) (\{[^\n]*\})\n(.*?\n)(?=>>>|\Z)",
    Path(__file__).with_name("vendor_samples.txt").read_text(encoding="utf-8"),
    re.DOTALL,
)


@pytest.mark.parametrize(("layout", "first", "settings", "text"), SAMPLES)
def test_file_in_the_layout_of_a_vendor_loads(load, layout, first, settings, text):
    market = load(text, **json.loads(settings))
    bar = tuple(float(getattr(market, name)[0]) for name in ("open", "high", "low", "close", "volume"))
    time, *prices, volume = json.loads(first)
    assert [str(market.timestamp[0]), *bar[:4]] == [time, *prices]
    assert math.isnan(bar[4]) if volume is None else bar[4] == volume
    assert (market.reading.layout, len(market)) == (layout, 2)


def test_every_layout_has_a_sample():
    in_shared_data = {"kraken_ohlcvt", "stooq_bulk"}
    covered = {layout for layout, *_ in SAMPLES} | in_shared_data
    assert [layout.name for layout in LAYOUTS if layout.name not in covered] == []
