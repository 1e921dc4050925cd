"""The chart of the paper accounts of a policy."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from dashboard.charts.series import Chart, Series
from rl_training.models import Arm, Decision

# Of each account the chart shows so many of the newest closes.
POINTS = 1000
COLOURS: dict[str, Literal["policy", "reference", "quiet"]] = {
    Arm.Kind.LIVE: "policy",
    Arm.Kind.BUY_AND_HOLD: "reference",
    Arm.Kind.FLAT: "quiet",
}
LABELS = {Arm.Kind.LIVE: "Live version", Arm.Kind.BUY_AND_HOLD: "Buy and hold", Arm.Kind.FLAT: "Flat"}


def equity(policy: int) -> Chart | None:
    """Return the chart of the equity of all open accounts of the policy with this id; None below two closes."""
    arms = Arm.objects.filter(policy=policy, ended_at__isnull=True)
    curves = {kind: _curve(policy, pk) for pk, kind in arms.values_list("pk", "kind") if kind in COLOURS}
    times = [time for time, _ in curves.get(Arm.Kind.LIVE, [])]
    if len(times) < 2:
        return None
    series = []
    for kind, colour in COLOURS.items():
        values = dict(curves.get(kind, []))
        series.append(Series(LABELS[Arm.Kind(kind)], [values.get(time) for time in times], colour=colour))
    ends = ", ".join(f"{one.label.lower()} {one.values[-1]:.4f}" for one in series if one.values[-1] is not None)
    span = f"{len(times):,} closes, {times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M} UTC."
    x = [time.timestamp() for time in times]
    title = "Equity of the paper accounts, multiples of the initial equity"
    return Chart(title, f"{span} At the end: {ends}.", "Close", x, tuple(series), time=True)


def _curve(policy: int, arm: int) -> Sequence[tuple[datetime, float]]:
    newest = Decision.objects.filter(policy=policy, arm=arm).order_by("-bar_opened_at")
    return list(newest.values_list("bar_closed_at", "equity")[:POINTS])[::-1]
