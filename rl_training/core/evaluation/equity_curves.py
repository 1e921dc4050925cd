"""Equity curves of evaluations: the points that they have when computed and when stored."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

CURVE_POINTS = 1000
"""The most points that a stored equity curve has. They are evenly spaced and include the first and the last bar.

The peak and the trough of each account's deepest drawdown replace the points beside them, so that a drawn curve shows
`max_drawdown`.
"""

THINNED_POINTS = 24
"""The points of a curve in the database. The artifact holds up to CURVE_POINTS of the same curve."""

CURVE, TIMES = "equity_curve", "timestamps"
# As many as a page shows.
_DIGITS = 6


def curve_points(equity: FloatArray, most: int = CURVE_POINTS) -> npt.NDArray[np.int64]:
    """Return the indices of the closes that a curve has; see CURVE_POINTS. `equity` is [closes, accounts]."""
    troughs = drawdown(equity).argmax(axis=0)
    peaks = [equity[: trough + 1, account].argmax() for account, trough in enumerate(troughs)]
    deepest = np.array([*troughs, *peaks], np.int64)
    points = np.linspace(0, len(equity) - 1, min(len(equity), most)).round().astype(np.int64)
    for point in np.setdiff1d(deepest, points):
        inner = np.flatnonzero(~np.isin(points, deepest))[1:-1]
        points[inner[np.abs(points[inner] - point).argmin()]] = point
    return np.sort(points)


def drawdown(equity: FloatArray) -> FloatArray:
    """Return 1 - equity / highest equity before, for each close and account."""
    drawdown: FloatArray = 1.0 - equity / np.maximum.accumulate(equity, axis=0)
    return drawdown


def thinned(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation whose curves have at most THINNED_POINTS points, chosen as curve_points() chooses them.

    The values are rounded to six significant digits.
    """
    curves = list(_curves(evaluation))
    if not curves or len(evaluation[TIMES]) <= THINNED_POINTS:
        return dict(evaluation)
    return _at(evaluation, curve_points(np.array(curves, np.float64).T, THINNED_POINTS))


def without_curves(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation whose curves have only their first and last point; an unreadable one is not changed."""
    times = evaluation.get(TIMES)
    if not isinstance(times, list) or len(times) < 2 or any(len(curve) != len(times) for curve in _curves(evaluation)):
        return dict(evaluation)
    return _at(evaluation, np.array([0, len(times) - 1]))


def _accounts(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the reference accounts that have a curve, with their names."""
    for name, value in evaluation.items():
        if isinstance(value, Mapping) and value.get(CURVE):
            yield name, value


def _curves(evaluation: Mapping[str, Any]) -> Iterator[list[float]]:
    if evaluation.get(CURVE):
        yield evaluation[CURVE]
    yield from (account[CURVE] for _, account in _accounts(evaluation))


def _at(evaluation: Mapping[str, Any], points: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Return the evaluation with only these points of its curves."""
    found = {**evaluation, **{name: _account_at(account, points) for name, account in _accounts(evaluation)}}
    return _account_at(found, points) | {TIMES: [evaluation[TIMES][point] for point in points]}


def _account_at(account: Mapping[str, Any], points: npt.NDArray[np.int64]) -> dict[str, Any]:
    return {**account, CURVE: [float(f"{account[CURVE][point]:.{_DIGITS}g}") for point in points]}
