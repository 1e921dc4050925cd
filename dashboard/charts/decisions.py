"""The chart of the paper accounts of a policy."""

from collections.abc import Sequence
from datetime import datetime

from dashboard.charts.series import Chart, Colour, Series
from rl_training.models import Arm, Decision

# The chart shows this number of newest closes of each account.
POINTS = 1000
STANDARD: dict[str, tuple[str, Colour]] = {
    Arm.Kind.LIVE: ("Live version", "policy"),
    Arm.Kind.BUY_AND_HOLD: ("Buy and hold", "reference"),
    Arm.Kind.FLAT: ("Flat", "quiet"),
}
CHALLENGERS: tuple[Colour, ...] = ("third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "bad")


def equity(policy: int) -> Chart | None:
    """Return the chart of the equity of all open accounts of the policy with this id; None below two closes."""
    arms = list(Arm.objects.open().filter(policy=policy).shown())
    live = [arm for arm in arms if arm.kind == Arm.Kind.LIVE]
    times = [time for arm in live for time, _ in _curve(policy, arm.pk)]
    if len(times) < 2:
        return None
    series = []
    for arm, label, colour in _drawn(arms):
        values = dict(_curve(policy, arm.pk))
        series.append(Series(label, [values.get(time) for time in times], colour=colour))
    ends = ", ".join(f"{one.label.lower()} {one.values[-1]:.4f}" for one in series if one.values[-1] is not None)
    span = f"{len(times):,} closes, {times[0]:%Y-%m-%d %H:%M} to {times[-1]:%Y-%m-%d %H:%M} UTC."
    x = [time.timestamp() for time in times]
    title = "Equity of the paper accounts, multiples of the initial equity"
    return Chart(title, f"{span} At the end: {ends}.", "Close", x, tuple(series), time=True)


def _drawn(arms: Sequence[Arm]) -> list[tuple[Arm, str, Colour]]:
    """Return the arms in their order, with labels and colours: the standard arms first."""
    order = list(STANDARD)
    standard = sorted((arm for arm in arms if arm.kind in STANDARD), key=lambda arm: order.index(Arm.Kind(arm.kind)))
    challengers = sorted((arm for arm in arms if arm.is_challenger), key=lambda arm: arm.pk)
    found: list[tuple[Arm, str, Colour]] = [(arm, *STANDARD[arm.kind]) for arm in standard]
    for place, arm in enumerate(challengers):
        found.append((arm, arm.title[0].upper() + arm.title[1:], CHALLENGERS[place % len(CHALLENGERS)]))
    return found


def _curve(policy: int, arm: int) -> Sequence[tuple[datetime, float]]:
    newest = Decision.objects.filter(policy=policy, arm=arm).order_by("-bar_opened_at")
    return list(newest.values_list("bar_closed_at", "equity")[:POINTS])[::-1]
