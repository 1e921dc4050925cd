import os
import threading

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.file_access import unchanged_while_read
from rl_training.core.market.files import plain, rows
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market_config import MarketConfig
from tests.core.market.price_files import HEADER, ROWS, refusal


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.csv", "none.csv: there is no such file under MARKET_DATA_ROOT, "),
        ("deep/none.csv", "deep/none.csv: there is no such file under MARKET_DATA_ROOT, "),
        ("folder", "folder: is a directory"),
        (".", ".: is a directory"),
        ("../outside.csv", "../outside.csv: leads outside MARKET_DATA_ROOT, "),
        ("folder/../../outside.csv", "folder/../../outside.csv: leads outside MARKET_DATA_ROOT, "),
        ("/etc/passwd", "/etc/passwd: is an absolute path; name the file relative to MARKET_DATA_ROOT"),
        ("link.csv", "link.csv: leads outside MARKET_DATA_ROOT, "),
        ("linked/outside.csv", "linked/outside.csv: leads outside MARKET_DATA_ROOT, "),
        ("proc.csv", "proc.csv: leads outside MARKET_DATA_ROOT, "),
        ("circle", "circle: cannot be opened: "),
        ("pipe", "pipe: is not a regular file"),
        ("x" * 300, f"{'x' * 300}: cannot be opened: "),
    ],
)
def test_paths_that_are_not_regular_files_under_the_root_are_refused(tmp_path, path, message):
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (tmp_path / "outside.csv").write_text(HEADER + ROWS[0])
    (root / "link.csv").symlink_to("../outside.csv")
    (root / "linked").symlink_to(tmp_path)
    (root / "proc.csv").symlink_to("/proc/self/environ")
    (root / "circle").symlink_to("circle")
    os.mkfifo(root / "pipe")
    with pytest.raises(MarketDataError) as error:
        load_file(MarketConfig(source="file", path=path), root)
    assert str(error.value).startswith(message)


def test_a_link_to_a_file_under_the_root_is_followed(tmp_path):
    (tmp_path / "m.csv").write_text(HEADER + ROWS[0])
    (tmp_path / "newest.csv").symlink_to("m.csv")
    assert len(load_file(MarketConfig(source="file", path="newest.csv"), tmp_path)) == 1


def test_a_write_while_the_file_is_open_is_refused(tmp_path):
    (tmp_path / "m.csv").write_text(HEADER + ROWS[0])
    with (tmp_path / "m.csv").open("rb") as file, unchanged_while_read(file):
        file.read()
    with (
        pytest.raises(MarketDataError, match="changed while it was read"),
        (tmp_path / "m.csv").open("rb") as file,
        unchanged_while_read(file),
        (tmp_path / "m.csv").open("a") as writer,
    ):
        writer.write(ROWS[1])


def test_a_file_that_is_still_being_written_is_refused(tmp_path):
    lines = (f"{1_500_000_000 + 60 * i},10,12,9,{10 + i % 2},5\n" for i in range(200_000))
    (tmp_path / "m.csv").write_text(HEADER + "".join(lines))
    started, stop = threading.Event(), threading.Event()

    def write():
        with (tmp_path / "m.csv").open("a") as file:
            while not stop.wait(0.001):
                file.write("half a row,")
                file.flush()
                started.set()

    writer = threading.Thread(target=write)
    writer.start()
    started.wait()
    try:
        with pytest.raises(MarketDataError, match=r"^m.csv: changed while it was read"):
            load_file(MarketConfig(source="file", path="m.csv"), tmp_path)
    finally:
        stop.set()
        writer.join()


def test_too_many_parquet_rows_are_refused_before_reading(tmp_path):
    schema = pa.schema([("open", pa.bool_())])
    million = pa.record_batch([pa.nulls(1_000_000, pa.bool_())], schema=schema)
    with parquet.ParquetWriter(tmp_path / "m.parquet", schema) as writer:
        for _ in range(100):
            writer.write_batch(million, row_group_size=1_000_000)
    with pytest.raises(MarketDataError, match=r"m.parquet: has 100000000 rows; at most 10000000 are read"):
        load_file(MarketConfig(source="file", path="m.parquet"), tmp_path)


@pytest.mark.parametrize(("module", "layout"), [(plain, "plain"), (rows, "auto")])
def test_a_csv_file_is_not_read_beyond_the_row_limit(load, monkeypatch, module, layout):
    monkeypatch.setattr(module, "MAX_BARS", 2)
    assert refusal(load, HEADER + "".join(ROWS), format=layout) == (
        "m.csv, row 3 (header not counted): has more than 2 rows, the most that are read"
    )
