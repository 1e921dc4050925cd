import pytest

from dashboard.charts import axis_of, bar_chart, drawable, line_chart, thinned


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.3, 1.9], ["2.0", "1.5", "1.0", "0.5", "0.0"]),
        ([0.9, 1.05], ["1.05", "1.00", "0.95", "0.90"]),
        ([-0.1, 0.2], ["0.2", "0.1", "0.0", "-0.1"]),
        ([1.0, 1.0], ["1.50", "1.25", "1.00", "0.75", "0.50"]),
        ([0.0], ["1.0", "0.5", "0.0", "-0.5", "-1.0"]),
        ([0, 30_000], ["30,000", "20,000", "10,000", "0"]),
        ([1e-7, 4e-7], ["0.0000004", "0.0000003", "0.0000002", "0.0000001"]),
    ],
)
def test_an_axis_holds_its_values_between_round_ticks(values, labels):
    axis = axis_of(values)
    assert axis.labels == labels
    assert axis.low <= min(values) <= max(values) <= axis.high


def test_a_line_runs_from_the_left_edge_to_the_right_one():
    chart = line_chart("Equity", [("policy", "Policy", [0.0, 1.0, 2.0]), ("flat", "Flat", [1.0, 1.0])], [])
    assert [line.path for line in chart.lines] == ["M0.0 300.0L500.0 150.0L1000.0 0.0", "M0.0 150.0L1000.0 150.0"]


def test_bars_stand_on_zero_and_one_without_a_value_takes_the_whole_height():
    chart = bar_chart("Rewards", [("gain", "a", 1.0), ("loss", "b", -1.0), ("failed", "c", None)], [])
    assert [(bar.kind, bar.y, bar.height) for bar in chart.bars] == [
        ("gain", "0.0", "150.0"),
        ("loss", "150.0", "150.0"),
        ("failed", "0.0", "300.0"),
    ]
    assert chart.zero == "150.0"


def test_a_long_curve_is_thinned_to_both_its_ends():
    assert thinned(range(10_001), 5) == [0, 2500, 5000, 7500, 10_000]


def test_what_has_no_place_on_an_axis_is_not_drawable():
    values = [1, -2.5, None, True, "1", float("nan"), float("inf"), 1e300]
    assert [drawable(value) for value in values] == [True, True, False, False, False, False, False, False]
