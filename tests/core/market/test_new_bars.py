import os
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.files import ends as file_ends
from rl_training.core.market.new_bars import count_new_bars
from rl_training.core.market_config import MarketConfig
from tests.core.market.price_files import HEADER

NOON = datetime(2025, 1, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(hours: int) -> str:
    return f"{NOON + hours * HOUR:%Y-%m-%d %H:%M},10,12,9,11,5\n"


@pytest.fixture
def count(tmp_path):
    """Return a function that writes a CSV file with these rows and counts those after noon."""

    def count(rows: list[str]) -> int | None:
        (tmp_path / "m.csv").write_text(HEADER + "".join(rows))
        return count_new_bars(MarketConfig(source="file", path="m.csv"), NOON, NOON, tmp_path)

    return count


@pytest.mark.parametrize("source", ["sp500", "nasdaq", "planted"])
def test_markets_that_do_not_grow_have_no_new_bars(source, tmp_path):
    assert count_new_bars(MarketConfig(source=source, bars=1000), NOON, NOON + 9999 * HOUR, tmp_path) == 0


@pytest.mark.parametrize(
    ("since_last_opened", "new"),
    [
        (timedelta(minutes=30), 0),
        (HOUR + timedelta(seconds=60), 0),
        (2 * HOUR + timedelta(seconds=59), 0),
        (2 * HOUR + timedelta(seconds=60), 1),
        (25 * HOUR + timedelta(seconds=60), 24),
        (-5 * HOUR, 0),
    ],
)
def test_bar_of_an_exchange_is_new_a_minute_after_its_end(since_last_opened, new, tmp_path):
    market = MarketConfig(source="exchange", exchange="kraken", symbol="BTC/USD", timeframe="1h")
    assert count_new_bars(market, NOON, NOON + since_last_opened, tmp_path) == new


@pytest.mark.parametrize("step", [1, -1], ids=["oldest first", "newest first"])
def test_later_rows_of_a_csv_file_are_counted_in_either_order(count, step):
    assert count([row(hours) for hours in range(-5, 4)][::step]) == 3


def test_long_file_is_counted_at_its_ends(count, monkeypatch):
    rows = [row(hours) for hours in range(-500, 4)]
    monkeypatch.setattr(file_ends, "BYTES_AT_END", 400)
    assert count(rows) == 3
    assert count([*rows, row(4)]) == 4
    assert count(rows[::-1]) == 3


def test_more_new_rows_than_are_read_are_too_many_to_count(count, monkeypatch):
    monkeypatch.setattr(file_ends, "BYTES_AT_END", 400)
    assert count([row(hours) for hours in range(-500, 100)]) is None


def test_changed_file_is_read_again_and_an_unchanged_one_is_not(count, tmp_path):
    file_ends.read_ends.cache_clear()
    assert [count([row(0)]), count([row(0), row(1)])] == [0, 1]
    os.utime(tmp_path / "m.csv", ns=(0, 0))
    config = MarketConfig(source="file", path="m.csv")
    counts = [file_ends.count_rows_after(int(NOON.timestamp()), config, tmp_path) for _ in range(3)]
    assert counts == [1, 1, 1]
    assert file_ends.read_ends.cache_info().misses == 3


def test_later_rows_of_a_parquet_file_are_counted(tmp_path, monkeypatch):
    times = [NOON + hours * HOUR for hours in range(-5, 4)]
    bars = {name: [1.0] * 9 for name in ("open", "high", "low", "close", "volume")}
    parquet.write_table(pa.table({"timestamp": times, **bars}), tmp_path / "m.parquet")
    market = MarketConfig(source="file", path="m.parquet")
    assert count_new_bars(market, NOON, NOON, tmp_path) == 3
    file_ends.read_ends.cache_clear()
    monkeypatch.setattr(file_ends, "MOST_KEPT", 3)
    assert count_new_bars(market, NOON, NOON, tmp_path) is None


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", HEADER + "never,10,12,9,11,5\n", HEADER + "2025-01-01,1\n", "PAR1 but not a table"]
)
def test_file_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "m.csv").write_text(content)
    with pytest.raises(MarketDataError, match=r"m\.csv"):
        count_new_bars(MarketConfig(source="file", path="m.csv"), NOON, NOON, tmp_path)


def test_later_rows_of_a_file_in_another_layout_are_counted(tmp_path):
    rows = [f"{NOON + hours * HOUR:%d.%m.%Y;%H:%M};10,5;12;9;{10 + hours % 2},5" for hours in range(-400, 4)]
    (tmp_path / "m.csv").write_text("Datum;Zeit;Eröffnung;Hoch;Tief;Schluss\n" + "\n".join(rows))
    assert count_new_bars(MarketConfig(source="file", path="m.csv"), NOON, NOON, tmp_path) == 3


def test_file_with_a_header_alone_has_no_new_rows(count):
    assert count([]) == 0


def test_missing_file_is_named(tmp_path):
    with pytest.raises(MarketDataError, match="no such file"):
        count_new_bars(MarketConfig(source="file", path="m.csv"), NOON, NOON, tmp_path)
