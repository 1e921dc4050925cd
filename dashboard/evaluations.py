"""A version's stored evaluation as a page shows it.

It is read with tolerance: what an older or newer version of the backtest left out is shown as missing.
"""

from dataclasses import dataclass
from typing import Any

from dashboard.charts import LineChart, drawable, line_chart
from dashboard.templatetags.figures import MISSING, figure, percent

# Key, label and form of each figure, in the words of `rl_training.core.evaluation.Performance`.
FIGURES = (
    ("total_return", "Total return", percent),
    ("sharpe", "Sharpe ratio", figure),
    ("sharpe_interval", "Its 95 % interval", None),
    ("sortino", "Sortino ratio", figure),
    ("max_drawdown", "Maximum drawdown", percent),
    ("time_in_market", "Time in the market", percent),
    ("hit_rate", "Bars gained, of those", percent),
    ("turnover", "Turnover, times equity", figure),
    ("costs_paid", "Costs paid", percent),
)
ACCOUNTS = (("policy", "Policy"), ("buy-and-hold", "Buy and hold"), ("flat", "Flat"))


@dataclass(frozen=True)
class ShownEvaluation:
    """`rows` hold a label and a text for each of `ACCOUNTS`."""

    rows: tuple[tuple[str, ...], ...]
    chart: LineChart | None
    span: str
    bars: int | None


def shown(evaluation: Any) -> ShownEvaluation | None:
    """What there is to show of a stored evaluation; None when it holds nothing."""
    if not isinstance(evaluation, dict) or not evaluation:
        return None
    accounts = [_mapping(account) for account in (evaluation, evaluation.get("buy_and_hold"), evaluation.get("flat"))]
    rows = [(label, *(_text(account.get(key), form) for account in accounts)) for key, label, form in FIGURES]
    dates = [time[:10] for time in _list(evaluation.get("timestamps")) if isinstance(time, str)]
    bars = evaluation.get("bars")
    return ShownEvaluation(
        rows=tuple(row for row in rows if any(text != MISSING for text in row[1:])),
        chart=_chart(accounts, dates),
        span=f"{dates[0]} to {dates[-1]}" if dates else "",
        bars=bars if isinstance(bars, int) else None,
    )


def _chart(accounts: list[dict[str, Any]], dates: list[str]) -> LineChart | None:
    curves = [
        (kind, label, values)
        for (kind, label), account in zip(ACCOUNTS, accounts, strict=True)
        if len(values := _numbers(account.get("equity_curve"))) > 1
    ]
    if not curves or curves[0][0] != "policy":
        return None
    ends = ", ".join(f"{label.lower()} {values[-1]:.3f}" for _, label, values in curves)
    x_labels = (dates[0], dates[len(dates) // 2], dates[-1]) if len(dates) > 2 else ()
    return line_chart(f"Equity in multiples of the initial equity. At the end: {ends}.", curves, x_labels)


def _text(value: Any, form: Any) -> str:
    if form is not None:
        return form(value)
    bounds = _numbers(value)
    return f"{figure(bounds[0])} to {figure(bounds[1])}" if len(bounds) == 2 else MISSING


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _numbers(value: Any) -> list[float]:
    """The list's numbers; none of them when one cannot be drawn."""
    found = _list(value)
    return found if all(drawable(number) for number in found) else []
