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
    assert "policy -10.00 %, buy and hold -50.00 %" in found["drawdown"].summary


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
