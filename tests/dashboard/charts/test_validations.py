import pytest

from dashboard.charts import validations
from tests.dashboard.charts.walked import RESULT


def test_equity_has_the_references_and_marks_where_each_fold_begins():
    chart = validations.charts_of(RESULT)["equity"]
    assert chart.summary == (
        "2 bars, each traded once, in 2 folds. At the end: walk-forward 1.200, buy and hold 1.050, flat 1.000."
    )
    assert [one.label for one in chart.series] == ["Walk-forward", "Buy and hold", "Flat", "Fold"]
    assert (chart.series[-1].style, chart.series[-1].values) == ("marks", [None, 1, 2])


def test_members_are_drawn_beside_their_mean():
    chart = validations.charts_of(RESULT)["members"]
    assert [one.label for one in chart.series] == ["All members", "Member 1", "Member 2"]
    assert "At the end: 1.100 to 1.300; 1.200 with the mean of the members' probabilities." in chart.summary


def test_tests_name_required_and_beaten_references():
    table = validations.tests_table(RESULT, ["flat"], 0.005)
    assert table.rows == [
        ("Buy and hold", "5.00", "0.02", "0.98", "not required", "no"),
        ("Flat", "8.00", "0.001", "1", "required", "yes"),
    ]


def test_tests_of_monitoring_name_nothing_to_beat():
    table = validations.tests_table(RESULT, ["flat"], None)
    assert len(table.headings) == 3
    assert table.rows == [("Buy and hold", "5.00", "0.02", "0.98"), ("Flat", "8.00", "0.001", "1")]


def test_folds_have_their_return_beside_that_of_buy_and_hold():
    table = validations.folds_table(RESULT)
    assert list(table.headings)[:3] == ["Return", "Buy and hold", "Sharpe ratio"]
    assert [row[:4] for row in table.rows] == [("1", "10.00 %", "0.00 %", "2"), ("2", "9.00 %", "0.00 %", "2")]


def test_choice_among_recipes_deflates_the_sharpe_ratio():
    [(name, text)] = validations.selection(RESULT)
    assert (name, text[:5]) == ("Deflated Sharpe ratio", "0.971")
    assert "the best of 3 recipes tried on this market" in text
    overfitting = {"probability": 0.25, "recipes": 9, "bars": 2000}
    assert validations.selection(RESULT | {"overfitting": overfitting})[1][1].endswith("; over 9 recipes.")


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        {},
        {"timestamps": 3},
        RESULT | {"performances": [1]},
        RESULT | {"timestamps": RESULT["timestamps"][1:]},
    ],
)
def test_unreadable_curves_give_no_chart(result):
    assert validations.charts_of(result) == {}


@pytest.mark.parametrize("value", [None, 3, [3], {"flat": 3}])
def test_unreadable_parts_give_empty_tables(value):
    result = RESULT | dict.fromkeys(("performances", "folds", "overfitting"), value)
    tables = (validations.accounts_table(result), validations.members_table(result), validations.folds_table(result))
    assert all(text == "-" for table in tables for row in table.rows for text in row[1:])
    assert len(validations.selection(result)) == 1
