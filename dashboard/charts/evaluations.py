"""The table and the charts of a version's stored evaluation.

Other versions of the backtest stored other keys, so a missing or unreadable value is shown as missing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Literal

from dashboard.charts.series import Chart, Series, drawable
from dashboard.templatetags.figures import MISSING, figure, is_number, percent

# Key in `rl_training.core.evaluation.evaluation.Performance`, label and form of each metric. A metric without a form is
# a pair of bounds.
METRICS = (
    ("total_return", "Total return", percent),
    ("sharpe", "Sharpe ratio", figure),
    ("sharpe_interval", "Sharpe ratio, 95 % interval", None),
    ("sortino", "Sortino ratio", figure),
    ("max_drawdown", "Maximum drawdown", percent),
    ("time_in_market", "Time in the market", percent),
    ("hit_rate", "Hit rate of bars in the market", percent),
    ("turnover", "Turnover, times equity", figure),
    ("costs_paid", "Costs paid", percent),
)
# The colour of each account's line and the account's name.
ACCOUNTS: tuple[tuple[Literal["policy", "reference", "quiet"], str], ...] = (
    ("policy", "Policy"),
    ("reference", "Buy and hold"),
    ("quiet", "Flat"),
)
# Key of each further account of the table and the account's name. An older evaluation has no further account. Only an
# evaluation on a planted market has the rule that earns most on average; on few bars, another rule may earn more.
RULES = (
    ("last_return_followed", "Last return followed"),
    ("last_return_opposed", "Last return opposed"),
    ("last_20_bars_followed", "Last 20 bars followed"),
    ("best_possible", "Best rule on average"),
)


@dataclass(frozen=True)
class ShownEvaluation:
    """An evaluation as a page shows it.

    `accounts` has the names of the accounts. A row holds a label and a text for each account. `charts` has the charts
    by the key in their URL, and `span` the first and the last date.
    """

    accounts: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    charts: dict[str, Chart]
    span: str
    bars: int | None


def shown(evaluation: Any) -> ShownEvaluation | None:
    """Return what a page shows of a stored evaluation, or None when it is empty."""
    if not isinstance(evaluation, dict) or not evaluation:
        return None
    rules = {label: _mapping(evaluation.get(key)) for key, label in RULES if evaluation.get(key)}
    accounts = [*_accounts(evaluation), *rules.values()]
    rows = [(label, *(metric_text(account.get(key), form) for account in accounts)) for key, label, form in METRICS]
    dates = [time[:10] for time in _list(evaluation.get("timestamps")) if isinstance(time, str)]
    bars = evaluation.get("bars")
    return ShownEvaluation(
        accounts=(*(label for _, label in ACCOUNTS), *rules),
        rows=tuple(row for row in rows if any(text != MISSING for text in row[1:])),
        charts=charts(evaluation),
        span=f"{dates[0]} to {dates[-1]}" if dates else "",
        bars=bars if isinstance(bars, int) else None,
    )


def charts(evaluation: Any) -> dict[str, Chart]:
    """Return the charts of equity and drawdown; empty when the policy's own curve is missing."""
    if not isinstance(evaluation, dict):
        return {}
    times = times_of(evaluation.get("timestamps"))
    curves = [numbers_of(account.get("equity_curve")) for account in _accounts(evaluation)]
    shown = [
        (label, colour, curve)
        for (colour, label), curve in zip(ACCOUNTS, curves, strict=True)
        if len(curve) == len(times) > 1
    ]
    if not shown or shown[0][0] != "Policy":
        return {}
    falls = [(label, colour, drawdown(curve)) for label, colour, curve in shown if label != "Flat"]
    at_the_end = ", ".join(f"{label.lower()} {curve[-1]:.3f}" for label, _, curve in shown)
    deepest = ", ".join(f"{label.lower()} {percent(_deepest(evaluation, label, fall))}" for label, _, fall in falls)
    span = f"{len(times):,} closes, {datetime.fromtimestamp(times[0], UTC):%Y-%m-%d} to "
    span += f"{datetime.fromtimestamp(times[-1], UTC):%Y-%m-%d}."
    bars = evaluation.get("bars")
    if isinstance(bars, int) and bars + 1 > len(times):
        span = f"{span[:-1]}, of {bars + 1:,}; results are of all closes."
    return {
        "equity": Chart(
            "Equity, multiples of the initial equity",
            f"{span} At the end: {at_the_end}.",
            "Close",
            times,
            tuple(Series(label, curve, colour=colour) for label, colour, curve in shown),
            time=True,
        ),
        "drawdown": Chart(
            "Drawdown, below the highest equity before",
            f"{span} Maximum drawdown: {deepest}.",
            "Close",
            times,
            tuple(Series(label, fall, colour=colour) for label, colour, fall in falls),
            "percent",
            time=True,
        ),
    }


def drawdown(curve: list[float]) -> list[float]:
    """Return, for each close, equity / highest equity so far - 1."""
    return [value / peak - 1 if peak > 0 else 0.0 for value, peak in zip(curve, accumulate(curve, max), strict=True)]


def _deepest(evaluation: dict[str, Any], label: str, fall: list[float]) -> float:
    """Return the stored maximum drawdown of the account, which counts every close; else the maximum of the curve."""
    account = evaluation if label == "Policy" else _mapping(evaluation.get("buy_and_hold"))
    stored = account.get("max_drawdown")
    return stored if is_number(stored) else -min(fall)


def _accounts(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    return [_mapping(account) for account in (evaluation, evaluation.get("buy_and_hold"), evaluation.get("flat"))]


def times_of(stamps: Any) -> list[float]:
    """Return the timestamps in seconds since 1970; empty when any of them is unreadable."""
    try:
        return [datetime.fromisoformat(stamp).timestamp() for stamp in _list(stamps)]
    except (TypeError, ValueError, OverflowError):
        return []


def metric_text(value: Any, form: Any) -> str:
    """Return a metric as text; `form` is its form in `METRICS`."""
    if form is not None:
        return str(form(value))
    bounds = numbers_of(value)
    return f"{figure(bounds[0])} to {figure(bounds[1])}" if len(bounds) == 2 else MISSING


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def numbers_of(value: Any) -> list[float]:
    """Return the list; empty when a chart cannot show any of its values."""
    found = _list(value)
    return found if all(drawable(number) for number in found) else []
