"""Bars in the artifact storage: stored once per digest, complete or not at all, removed only if no run needs them."""

import os
from datetime import UTC, datetime

import numpy as np
import pytest

from rl_training.core import fault_points
from rl_training.core.market.bars import COLUMNS
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.files import bars
from tests.core.run.small_run import MARKET


class Killed(Exception):
    """Raised at a fault point, in place of a signal."""


@pytest.fixture
def path(artifact_root):
    return artifact_root / "market-bars" / f"{MARKET.digest}.npz"


def test_stored_bars_are_fetched_unchanged(artifact_root):
    assert bars.store(MARKET)
    fetched = bars.fetch(MARKET.digest)
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(fetched, column), getattr(MARKET, column))
    assert (bars.digests(), bars.is_stored(MARKET.digest)) == ([MARKET.digest], True)


def test_bars_are_stored_once(path):
    bars.store(MARKET)
    before = path.stat()
    assert not bars.store(MARKET)
    assert path.stat() == before


def test_default_bars_take_less_than_half_of_their_size_in_memory(artifact_root):
    market = load_market(MarketConfig())
    bars.store(market)
    size = (artifact_root / "market-bars" / f"{market.digest}.npz").stat().st_size
    assert size < 0.5 * 48 * len(market)


def test_damaged_bars_are_refused(path):
    bars.store(MARKET)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(bars.DamagedBarsError, match=MARKET.digest):
        bars.fetch(MARKET.digest)


def test_bars_of_another_digest_are_refused(path):
    bars.store(MARKET)
    other = "0" * 64
    path.rename(path.with_name(f"{other}.npz"))
    with pytest.raises(bars.DamagedBarsError, match=f"their digest is {MARKET.digest}"):
        bars.fetch(other)


def test_missing_bars_are_reported_as_a_missing_file(artifact_root):
    assert bars.digests() == []
    with pytest.raises(FileNotFoundError):
        bars.fetch(MARKET.digest)


def test_killed_writer_leaves_no_bars_but_an_unfinished_file(path, monkeypatch):
    def kill():
        raise Killed

    # A killed process does not remove its temporary file either.
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
    monkeypatch.setitem(fault_points._armed, "file_written", kill)
    with pytest.raises(Killed):
        bars.store(MARKET)
    monkeypatch.undo()
    [left] = path.parent.iterdir()
    assert (bars.digests(), bars.is_stored(MARKET.digest)) == ([], False)
    os.utime(left, (1_000, 1_000))
    assert bars.remove_leftovers(datetime.fromtimestamp(1_000, UTC)) == 0
    assert bars.remove_leftovers(datetime.fromtimestamp(1_001, UTC)) == 1
    assert bars.store(MARKET)


def test_bars_that_no_run_needs_are_removed(path):
    bars.store(MARKET)
    assert bars.remove_unless(MARKET.digest, lambda: False)
    assert not path.exists()


def test_bars_that_a_run_needs_meanwhile_are_put_back(path):
    bars.store(MARKET)
    before = path.read_bytes()
    assert not bars.remove_unless(MARKET.digest, lambda: True)
    assert path.read_bytes() == before


def test_bars_that_a_run_stores_meanwhile_stay(path):
    def store_again() -> bool:
        return bars.store(MARKET)

    bars.store(MARKET)
    assert not bars.remove_unless(MARKET.digest, store_again)
    assert bars.fetch(MARKET.digest).digest == MARKET.digest
