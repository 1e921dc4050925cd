"""The stored result of a walk-forward of two folds with two members, as the pages read it."""

from typing import Any

TIMES = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]


def performance(end: float) -> dict[str, Any]:
    curve = {"equity_curve": [1.0, (1.0 + end) / 2, end]}
    return curve | {"total_return": end - 1, "sharpe": 1.5, "sharpe_interval": [0.5, 2.5], "max_drawdown": 0.1}


def difference(mean: float, p_above: float) -> dict[str, float]:
    return {"mean": mean, "p_above": p_above, "p_below": 1 - p_above}


def fold(begin: int, first: str, own: float) -> dict[str, Any]:
    logs = {"walk_forward": own, "buy_and_hold": 0.0, "flat": 0.0}
    performance = {"total_return": own, "sharpe": 2.0, "max_drawdown": 0.05}
    return {"fold": {"begin": begin}, "first_bar_at": first, "performance": performance, "log_returns": logs}


RESULT: dict[str, Any] = {
    "bars": 2,
    "timestamps": TIMES,
    "performances": {
        "member_1": performance(1.1),
        "member_2": performance(1.3),
        "flat": performance(1.0),
        "walk_forward": performance(1.2),
        "buy_and_hold": performance(1.05),
    },
    "folds": [fold(100, TIMES[1], 0.1), fold(101, TIMES[2], 0.09)],
    "tests": {"flat": difference(0.0008, 0.001), "buy_and_hold": difference(0.0005, 0.02)},
    "deflated_sharpe": 0.9712,
    "trials": 3,
    "overfitting": None,
}
