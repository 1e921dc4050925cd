import pytest

from dashboard.charts import evaluations
from tests.dashboard.charts.charted_rows import EVALUATION


def test_drawdown_is_relative_to_the_highest_equity_before():
    found = evaluations.charts(EVALUATION)
    assert list(found) == ["equity", "drawdown"]
    assert [one.label for one in found["equity"].series] == ["Policy", "Buy and hold", "Flat"]
    assert [[round(value or 0.0, 6) for value in one.values] for one in found["drawdown"].series] == [
        [0.0, -0.1, 0.0],
        [0.0, 0.0, -0.5],
    ]
    assert "At the end: policy 1.250, buy and hold 0.550, flat 1.000." in found["equity"].summary
    assert "Maximum drawdown: policy 10.00 %, buy and hold 50.00 %." in found["drawdown"].summary


def test_drawdown_of_a_thinned_curve_is_that_of_the_table():
    evaluation = EVALUATION | {"bars": 40, "max_drawdown": 0.125}
    evaluation["buy_and_hold"] = {"equity_curve": [1.0, 1.1, 0.55], "max_drawdown": 0.693}
    found = evaluations.shown(evaluation)
    assert found is not None
    assert ("Maximum drawdown", "12.50 %", "69.30 %", "-") in found.rows
    assert found.charts["drawdown"].summary == (
        "3 closes, 2018-01-02 to 2018-01-04, of 41; results are of all closes. "
        "Maximum drawdown: policy 12.50 %, buy and hold 69.30 %."
    )


def test_table_has_a_column_for_each_stored_reference_rule():
    rules = {"last_return_opposed": {"max_drawdown": 0.25}, "best_possible": None}
    found = evaluations.shown(EVALUATION | {"max_drawdown": 0.125} | rules)
    assert found is not None
    assert found.accounts == ("Policy", "Buy and hold", "Flat", "Last return opposed")
    assert ("Maximum drawdown", "12.50 %", "-", "-", "25.00 %") in found.rows


@pytest.mark.parametrize(
    "evaluation",
    [
        None,
        [],
        "text",
        {"equity_curve": [1.0, 2.0]},
        EVALUATION | {"timestamps": [1, 2, 3]},
        EVALUATION | {"timestamps": ["x", "y", "z"]},
        EVALUATION | {"equity_curve": [1.0, None, 2.0]},
        {"timestamps": EVALUATION["timestamps"], "buy_and_hold": EVALUATION["buy_and_hold"]},
    ],
)
def test_evaluation_without_the_policys_curve_has_no_charts(evaluation):
    assert evaluations.charts(evaluation) == {}
