from benchmarks.market_files import measure


def test_each_file_is_loaded_and_measured():
    found = list(measure(2_600, rounds=1))
    assert [figure.name for figure in found] == [
        "bars.csv, 2,600 bars: time to load, shortest of 1",
        "bars.csv, 2,600 bars: memory, largest of 1",
        "bars.parquet, 2,600 bars: time to load, shortest of 1",
        "bars.parquet, 2,600 bars: memory, largest of 1",
    ]
    assert all(figure.value > 0 for figure in found)
