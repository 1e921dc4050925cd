"""The charts of a comparison on new bars: what B gained on A, and the evidence against the threshold."""

import math

from django.db.models import Sum

from dashboard.charts.series import Chart, Series
from rl_training.models import ArmComparison

# The charts show this number of newest bars.
POINTS = 1_000


def charts_of(comparison: ArmComparison) -> dict[str, Chart]:
    """Return the charts by their keys; empty below two compared bars."""
    rows = list(
        comparison.compared_bars.order_by("-opened_at").values_list("closed_at", "difference", "evidence")[:POINTS]
    )
    rows.reverse()
    if len(rows) < 2:
        return {}
    times = [closed_at.timestamp() for closed_at, _, _ in rows]
    # The paired curve is computed backwards from the whole gain: the accounts may have differed before the comparison.
    gained = comparison.compared_bars.aggregate(whole=Sum("difference"))["whole"]
    curve = _back(gained, [difference for _, difference, _ in rows])
    evidence = [math.log10(value) if value > 0 else None for _, _, value in rows]
    span = f"{len(rows):,} bars, {rows[0][0]:%Y-%m-%d %H:%M} to {rows[-1][0]:%Y-%m-%d %H:%M} UTC."
    threshold = math.log10(comparison.threshold)
    return {
        "paired": Chart(
            "Gain of B on A since the comparison began, in log equity",
            f"{span} At the end: {curve[-1]:+.4f}.",
            "Close",
            times,
            (Series("B on A", curve),),
            time=True,
        ),
        "evidence": Chart(
            "Evidence: the logarithm of K to base 10",
            f"{span} K = {comparison.evidence:.3g} at the end; B counts as better at {comparison.threshold:.3g}.",
            "Close",
            times,
            (Series("K", evidence), Series("Threshold", [threshold] * len(rows), colour="reference")),
            time=True,
        ),
    }


def _back(last: float, gained: list[float]) -> list[float]:
    curve = [last]
    for difference in reversed(gained[1:]):
        curve.append(curve[-1] - difference)
    return curve[::-1]
