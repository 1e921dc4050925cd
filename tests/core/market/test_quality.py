"""Each suspicion is found where a fault is planted, and in real markets only with a cause."""

import numpy as np
import pytest

from rl_training.core.market.bars import COLUMNS
from rl_training.core.market.quality import find_suspicions
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig

BARS = 500
TIMES = 100


def random_walk(seed, deviation=0.01):
    generator = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(generator.normal(0, deviation, BARS)))
    opened = np.concatenate([[100.0], close[:-1]])
    return {
        "timestamp": np.datetime64("2020-01-01", "s") + 3600 * np.arange(BARS),
        "open": opened,
        "high": np.maximum(opened, close) * 1.001,
        "low": np.minimum(opened, close) * 0.999,
        "close": close,
        "volume": generator.uniform(1, 100, BARS),
    }, generator


def split(columns, generator, factor):
    bar = generator.integers(2, BARS - 2)
    for price in ("open", "high", "low", "close"):
        columns[price][bar:] *= factor
    return bar


def tick(columns, generator, prices, factor):
    bar = generator.integers(0, BARS)
    for price in prices:
        columns[price][bar] *= factor
    return bar


def run(columns, generator, length, factor):
    bar = generator.integers(1, BARS - length)
    for price in ("open", "high", "low", "close"):
        columns[price][bar : bar + length] *= factor
    return bar


def mixed_spacing(columns, generator):
    bar = generator.integers(0, BARS - 61)
    steps = np.full(BARS - 1, 86_400)
    steps[bar : bar + 60] = [3600, 7200, 7200] * 20
    columns["timestamp"][1:] = columns["timestamp"][0] + np.cumsum(steps)
    return bar


def spacing(columns, generator):
    bar = generator.integers(5, BARS - 5)
    columns["timestamp"][bar + 1 :] += 1800 * np.arange(1, BARS - bar)
    return bar


def stale(columns, generator):
    bar = generator.integers(0, BARS - 20)
    moved = columns["close"][bar] / columns["open"][bar + 20]
    for price in ("open", "high", "low", "close"):
        columns[price][bar : bar + 20] = columns["close"][bar]
        columns[price][bar + 20 :] *= moved
    return bar


@pytest.mark.parametrize("deviation", [0.0005, 0.01, 0.03])
@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        ("split", lambda columns, generator: split(columns, generator, 0.1)),
        ("split", lambda columns, generator: split(columns, generator, 10)),
        ("split", lambda columns, generator: split(columns, generator, 0.2)),
        ("bad_tick", lambda columns, generator: tick(columns, generator, ["close", "high"], 1000)),
        ("bad_tick", lambda columns, generator: tick(columns, generator, ["close", "low"], 0.1)),
        ("bad_tick", lambda columns, generator: tick(columns, generator, ["high"], 10)),
        ("bad_tick", lambda columns, generator: run(columns, generator, 2, 100)),
        ("bad_tick", lambda columns, generator: run(columns, generator, 5, 0.1)),
        ("changed_spacing", spacing),
        ("changed_spacing", mixed_spacing),
        ("stale", stale),
    ],
)
def test_planted_fault_is_found_at_each_of_100_random_bars(kind, plant, deviation):
    found = []
    for seed in range(TIMES):
        columns, generator = random_walk(seed, deviation)
        planted = columns["timestamp"][plant(columns, generator)]
        suspicions = find_suspicions(columns)
        # Of two spacings, the one with fewer bars is reported, even if it comes first.
        times = {str(planted), str(columns["timestamp"][0])} if kind == "changed_spacing" else {str(planted)}
        found.append(list(suspicions) == [kind] and not times.isdisjoint(suspicions[kind].times))
    assert sum(found) == TIMES


def test_random_walks_have_no_suspicions():
    assert [seed for seed in range(TIMES) if find_suspicions(random_walk(seed)[0])] == []


@pytest.mark.parametrize(("before", "after"), [(499.23, 127.58), (891.29, 302.36)])
def test_split_whose_open_is_off_the_ratio_is_found(before, after):
    columns, _ = random_walk(0, 0.02)
    for price in ("open", "high", "low", "close"):
        columns[price][200:] *= after / before
    assert find_suspicions(columns)["split"].times == (str(columns["timestamp"][200]),)


def test_bars_without_volume_whose_price_moved_are_found():
    columns, _ = random_walk(0)
    columns["volume"][[3, 7]] = 0
    assert find_suspicions(columns)["volume_zero"].count == 2
    columns["volume"][:] = 0
    assert find_suspicions(columns) == {}


@pytest.mark.parametrize(
    ("source", "expected"), [("sp500", {}), ("nasdaq", {"volume_zero": ("2015-05-12T00:00:00", "2018-01-09T00:00:00")})]
)
def test_shipped_markets_have_only_known_suspicions(source, expected):
    market = load_market(MarketConfig(source=source))
    found = find_suspicions({name: getattr(market, name) for name in COLUMNS})
    assert {kind: suspicion.times for kind, suspicion in found.items()} == expected


def test_suspicion_describes_its_first_bars():
    columns, _ = random_walk(0)
    columns["close"][10] *= 1000
    [example] = find_suspicions(columns)["bad_tick"].examples
    assert example.startswith("2020-01-01T10:00:00: close 100223.7736 between closes of 100.8503936 and ")
