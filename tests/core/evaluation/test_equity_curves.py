import math

from rl_training.core.evaluation.equity_curves import thinned, without_curves


def evaluation(points=1000):
    """Return an evaluation of an account that falls from point 333 to point 444, and of a flat one."""
    fall = [1.5 if point == 333 else 0.5 if point == 444 else 1 + point / 7000 for point in range(points)]
    times = [f"2026-01-01T{point // 60:02}:{point % 60:02}:00Z" for point in range(points)]
    flat = {"total_return": 0.0, "equity_curve": [1.0] * points}
    return {"total_return": math.pi, "equity_curve": fall, "timestamps": times, "flat": flat, "best_possible": None}


def test_thinned_evaluation_keeps_all_metrics_and_the_deepest_drawdown():
    found = thinned(evaluation())
    assert (found["total_return"], found["best_possible"], found["flat"]["total_return"]) == (math.pi, None, 0.0)
    assert len(found["timestamps"]) == len(found["equity_curve"]) == len(found["flat"]["equity_curve"]) == 24
    assert (max(found["equity_curve"]), min(found["equity_curve"])) == (1.5, 0.5)
    assert (found["timestamps"][0], found["timestamps"][-1]) == ("2026-01-01T00:00:00Z", "2026-01-01T16:39:00Z")
    assert found["equity_curve"][-1] == 1.14271


def test_short_and_empty_evaluations_are_not_thinned():
    assert thinned({}) == without_curves({}) == {}
    assert thinned(evaluation(24)) == evaluation(24)


def test_evaluation_without_curves_keeps_their_ends():
    found = without_curves(evaluation())
    assert found["equity_curve"] == [1.0, 1.14271]
    assert found["flat"] == {"total_return": 0.0, "equity_curve": [1.0, 1.0]}
    assert found["timestamps"] == ["2026-01-01T00:00:00Z", "2026-01-01T16:39:00Z"]


def test_unreadable_curves_of_an_older_release_stay():
    assert without_curves({"timestamps": ["a", "b"], "equity_curve": [1.0]}) == {
        "timestamps": ["a", "b"],
        "equity_curve": [1.0],
    }
