"""The charts and the table of a comparison's stored result.

Another release may have stored other keys, so a missing or unreadable value is shown as missing.
"""

import math
from collections.abc import Sequence
from typing import Any

from dashboard.charts.evaluations import METRICS, metric_text, numbers_of, times_of
from dashboard.charts.series import Chart, Colour, Series
from dashboard.templatetags.figures import MISSING, percent

# The colours of versions in their order, and of references by their names.
VERSIONS: tuple[Colour, ...] = ("policy", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
REFERENCES: dict[str, Colour] = {
    "buy and hold": "reference",
    "flat": "quiet",
    "last return followed": "ninth",
    "last return opposed": "eighth",
    "last 20 bars followed": "seventh",
    "best possible": "sixth",
}


def accounts_of(result: Any) -> list[dict[str, Any]]:
    """Return the accounts of a result; empty when they are unreadable."""
    found = result.get("accounts") if isinstance(result, dict) else None
    return [account for account in found if isinstance(account, dict)] if isinstance(found, list) else []


def charts_of(result: Any) -> dict[str, Chart]:
    """Return the charts of a result by the key in their URL; empty when its curves are unreadable."""
    accounts = accounts_of(result)
    times = times_of(result.get("timestamps")) if accounts else []
    curves = [numbers_of(account.get("equity_curve")) for account in accounts]
    if not times or any(len(curve) != len(times) or min(curve) <= 0 for curve in curves):
        return {}
    names = [str(account.get("name")) for account in accounts]
    versions = [number for number, account in enumerate(accounts) if not account.get("reference")]
    colours = [
        VERSIONS[versions.index(number) % len(VERSIONS)] if number in versions else REFERENCES.get(name, "quiet")
        for number, name in enumerate(names)
    ]
    ends = ", ".join(f"{name} {curve[-1]:.3f}" for name, curve in zip(names, curves, strict=True))
    equity = Chart(
        "Equity, multiples of the initial equity",
        f"{len(times):,} closes of {result.get('bars', 0) + 1:,}. At the end: {ends}.",
        "Close",
        times,
        tuple(Series(name, curve, colour=colour) for name, curve, colour in zip(names, curves, colours, strict=True)),
        time=True,
    )
    return {"equity": equity, "difference": _difference(times, names, curves, versions)}


def _difference(
    times: Sequence[float], names: Sequence[str], curves: Sequence[Sequence[float]], versions: Sequence[int]
) -> Chart:
    """Return the chart of the log equity of each version minus that of the first version."""
    first, *others = versions
    lines = {
        number: [math.log(value / base) for value, base in zip(curves[number], curves[first], strict=True)]
        for number in others
    }
    ends = ", ".join(f"{names[number]} {percent(line[-1])}" for number, line in lines.items())
    return Chart(
        f"Log equity minus that of {names[first]}",
        f"A rising line earns more than {names[first]}. At the end: {ends}.",
        "Close",
        times,
        tuple(
            Series(names[number], line, colour=VERSIONS[place % len(VERSIONS)])
            for place, (number, line) in enumerate(lines.items(), 1)
        ),
        "percent",
        time=True,
    )


def metrics_of(result: Any) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the names of the accounts, and a row of texts for each metric, its label first."""
    accounts = accounts_of(result)
    rows = [(label, *(metric_text(account.get(key), form) for account in accounts)) for key, label, form in METRICS]
    shown = [row for row in rows if any(text != MISSING for text in row[1:])]
    return [str(account.get("name")) for account in accounts], shown
