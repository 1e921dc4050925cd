import json
from dataclasses import replace

import numpy as np
import pytest

from rl_training.core.evaluation.mean_test import MeanTest, mean_test
from rl_training.core.run.walk_forward.report import report_on
from rl_training.core.run.walk_forward.verdict import judge
from tests.core.run.walk_forward.cases import FOLDS, stitched


@pytest.fixture(scope="module")
def report():
    return report_on(stitched())


def test_tests_are_of_the_differences_to_each_reference(report):
    found = stitched()
    assert set(report.tests) == {
        "buy_and_hold", "flat", "last_return_followed", "last_return_opposed", "last_20_bars_followed", "trained_once",
    }  # fmt: skip
    log = np.log(found.backtest.equity)
    for name in ("flat", "trained_once"):
        difference = np.diff(log[:, 0]) - np.diff(log[:, found.names.index(name)])
        assert report.tests[name] == mean_test(difference)


def test_verdict_follows_from_the_stored_numbers(report):
    found = report.judge(trial=2, alpha=0.05)
    stored = json.loads(json.dumps(report.as_dict()))
    tests = {name: MeanTest(**test) for name, test in stored["tests"].items()}
    p_above = {name: test.p_above for name, test in tests.items()}
    assert judge(p_above, tests["flat"].p_below, bars=stored["bars"], trial=2) == found


def test_folds_and_whole_have_their_results(report):
    found = stitched()
    assert report.bars == sum(fold.end - fold.begin for fold in FOLDS) == 150
    assert [part.fold["begin"] for part in report.folds] == [fold.begin for fold in FOLDS]
    whole = report.performances["walk_forward"]
    assert np.prod([1 + part.performance.total_return for part in report.folds]) == pytest.approx(
        1 + whole.total_return
    )
    assert sum(part.performance.turnover for part in report.folds) == pytest.approx(whole.turnover)
    assert sum(part.log_returns["buy_and_hold"] for part in report.folds) == pytest.approx(
        np.log(1 + report.performances["buy_and_hold"].total_return)
    )
    assert [conduct.bars for conduct in report.conduct()] == [50, 50, 50]
    assert set(report.performances) == set(found.names) > {"member_1", "member_2"}


def test_dictionary_is_json_without_nan(report):
    values = report.as_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == json.loads(json.dumps(values))
    assert "equity_curve" not in values["folds"][0]["performance"]
    assert len(values["performances"]["flat"]["equity_curve"]) == len(values["timestamps"]) == 151


def test_same_accounts_give_the_same_report(report):
    assert report_on(stitched()) == report


def test_other_trials_deflate_the_sharpe_ratio(report):
    lucky = report_on(stitched(), trials=9, other_sharpes=[0.1, -0.1, 0.05])
    assert lucky.deflated_sharpe is not None
    assert 0 <= lucky.deflated_sharpe < report.deflated_sharpe <= 1
    assert lucky.sharpe_per_bar == report.sharpe_per_bar


def test_flat_account_has_no_ratio_and_no_verdict():
    found = stitched()
    order = [found.names.index("flat"), *range(1, len(found.names))]
    report = report_on(replace(found, backtest=found.backtest.accounts(order)))
    assert (report.sharpe_per_bar, report.deflated_sharpe) == (None, None)
    assert report.tests["flat"].p_above == report.tests["flat"].p_below == 1.0
    assert report.judge(trial=1, alpha=0.05).outcome == "inconclusive"
