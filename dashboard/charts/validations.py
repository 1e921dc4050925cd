"""The charts and the tables of a walk-forward's stored result.

Another release may have stored other keys, so a missing or unreadable value is shown as missing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.charts.evaluations import METRICS, metric_text, numbers_of, times_of
from dashboard.charts.series import Chart, Colour, Series, Value, drawable
from dashboard.templatetags.figures import MISSING, is_number, percent
from rl_training.core.run.walk_forward.verdict import BUY_AND_HOLD, FLAT, TRAINED_ONCE, WALK_FORWARD
from rl_training.core.words import count_of

# The name and the colour of each account except those of members, in their order.
ACCOUNTS: dict[str, tuple[str, Colour]] = {
    WALK_FORWARD: ("Walk-forward", "policy"),
    BUY_AND_HOLD: ("Buy and hold", "reference"),
    FLAT: ("Flat", "quiet"),
    TRAINED_ONCE: ("Trained once", "third"),
    "last_return_followed": ("Last return followed", "fourth"),
    "last_return_opposed": ("Last return opposed", "fifth"),
    "last_20_bars_followed": ("Last 20 bars followed", "sixth"),
}
MEMBER = "member_"
MEMBERS: tuple[Colour, ...] = ("third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
# exp() of a larger number overflows.
LARGEST_LOG = 700.0
# The results of a fold beside its return and the return of buy and hold.
FOLD_METRICS = ("sharpe", "sharpe_interval", "max_drawdown", "turnover", "time_in_market", "costs_paid")


@dataclass(frozen=True)
class Table:
    """A table: the headings of its columns, and its rows, each with its heading first."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def label(name: str) -> str:
    """Return the name of an account for users."""
    if name in ACCOUNTS:
        return ACCOUNTS[name][0]
    return name.replace("_", " ").capitalize()


def performances_of(result: Any, *, members: bool) -> dict[str, Mapping[str, Any]]:
    """Return the results of the walk-forward's account and of the references, or of the members, by account."""
    found = mapping(mapping(result).get("performances"))
    names = [name for name in found if name.startswith(MEMBER)] if members else [n for n in ACCOUNTS if n in found]
    return {name: mapping(found[name]) for name in names}


def charts_of(result: Any) -> dict[str, Chart]:
    """Return the charts of a result by the key in their URL; charts with unreadable curves are left out."""
    times = times_of(mapping(result).get("timestamps"))
    if len(times) < 2:
        return {}
    own = performances_of(result, members=False)
    found = {"equity": _equity(result, times, _curves(own, len(times)))}
    members = _curves(performances_of(result, members=True), len(times))
    if members:
        found["members"] = _members(times, members, _curves(own, len(times)))
    return {key: chart for key, chart in found.items() if chart.series}


def _curves(performances: Mapping[str, Mapping[str, Any]], points: int) -> dict[str, list[float]]:
    curves = {name: numbers_of(found.get("equity_curve")) for name, found in performances.items()}
    return {name: curve for name, curve in curves.items() if len(curve) == points}


def _equity(result: Any, times: Sequence[float], curves: Mapping[str, Sequence[float]]) -> Chart:
    ends = ", ".join(f"{label(name).lower()} {curve[-1]:.3f}" for name, curve in curves.items())
    begins = times_of([mapping(fold).get("first_bar_at") for fold in _folds(result)])
    bars = mapping(result).get("bars")
    traded = f"{count_of(bars, 'bar')}, each traded once" if isinstance(bars, int) else count_of(len(times), "close")
    series = [Series(label(name), curve, colour=ACCOUNTS[name][1]) for name, curve in curves.items()]
    if begins and series:
        series.append(Series("Fold", _marks(times, begins), "marks", "quiet"))
    summary = f"{traded}, in {count_of(len(_folds(result)), 'fold')}. At the end: {ends}."
    title = "Equity of one account through all folds, multiples of the initial equity"
    return Chart(title, summary, "Close", times, tuple(series), time=True)


def _marks(times: Sequence[float], begins: Sequence[float]) -> list[Value]:
    """Return, for each point of the curve, the number of the fold that begins there, else None."""
    found: list[Value] = [None] * len(times)
    for number, begin in enumerate(begins, 1):
        place = next((place for place, time in enumerate(times) if time >= begin), None)
        if place is not None:
            found[place] = number
    return found


def _members(
    times: Sequence[float], members: Mapping[str, Sequence[float]], own: Mapping[str, Sequence[float]]
) -> Chart:
    ends = [curve[-1] for curve in members.values()]
    summary = f"Each account follows one member. At the end: {min(ends):.3f} to {max(ends):.3f}"
    series = []
    if WALK_FORWARD in own:
        summary += f"; {own[WALK_FORWARD][-1]:.3f} with the mean of the members' probabilities"
        series.append(Series("All members", own[WALK_FORWARD]))
    for place, (name, curve) in enumerate(members.items()):
        series.append(Series(label(name), curve, colour=MEMBERS[place % len(MEMBERS)]))
    return Chart("Equity of the members", f"{summary}.", "Close", times, tuple(series), time=True)


def accounts_table(result: Any) -> Table:
    """Return the results of the account and of its references over all folds, a column for each."""
    return _by_column(performances_of(result, members=False))


def members_table(result: Any) -> Table:
    """Return the results of the members' own accounts, a column for each; no rows for recipes of one member."""
    return _by_column(performances_of(result, members=True))


def _by_column(performances: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        (heading, *(metric_text(found.get(key), form) for found in performances.values()))
        for key, heading, form in METRICS
    ]
    shown = [row for row in rows if any(text != MISSING for text in row[1:])]
    return Table([label(name) for name in performances], shown)


def folds_table(result: Any) -> Table:
    """Return the results of the account in each fold, a row for each; no rows before all folds are judged."""
    chosen = [metric for metric in METRICS if metric[0] in FOLD_METRICS]
    rows = []
    for number, fold in enumerate(map(mapping, _folds(result)), 1):
        performance, logs = mapping(fold.get("performance")), mapping(fold.get("log_returns"))
        hold = logs.get(BUY_AND_HOLD)
        held = percent(math.expm1(hold)) if drawable(hold) and hold < LARGEST_LOG else MISSING
        texts = (metric_text(performance.get(key), form) for key, _, form in chosen)
        rows.append((str(number), percent(performance.get("total_return")), held, *texts))
    return Table(("Return", "Buy and hold", *(heading for _, heading, _ in chosen)), rows)


def _folds(result: Any) -> list[Any]:
    found = mapping(result).get("folds")
    return found if isinstance(found, list) else []


def tests_table(result: Any, must_beat: Sequence[str], level: float | None) -> Table:
    """Return the tests against each reference. Without a `level`, as in monitoring, there is nothing to beat."""
    rows = []
    tests = mapping(mapping(result).get("tests"))
    for name in [name for name in ACCOUNTS if name in tests]:
        test = mapping(tests[name])
        above, mean = test.get("p_above"), test.get("mean")
        difference = f"{1e4 * mean:.2f}" if is_number(mean) else MISSING
        texts = [difference, _p_value(above), _p_value(test.get("p_below"))]
        if level is not None:
            beaten = is_number(above) and above < level
            texts += ["required" if name in must_beat else "not required", "yes" if beaten else "no"]
        rows.append((label(name), *texts))
    headings = (
        "Mean difference, bp per bar",
        "p, not ahead of the reference",
        "p, not behind the reference",
        "To beat",
        "Beaten",
    )
    return Table(headings if level is not None else headings[:3], rows)


def _p_value(value: Any) -> str:
    return f"{value:.2g}" if is_number(value) else MISSING


def selection(result: Any) -> list[tuple[str, str]]:
    """Return the measures that account for the choice among recipes: the name and the sentence of each."""
    stored = mapping(result)
    trials, deflated = stored.get("trials"), stored.get("deflated_sharpe")
    text = f"{deflated:.3f}" if is_number(deflated) else "unknown"
    recipes = count_of(trials, "recipe") if isinstance(trials, int) else "all recipes"
    luck = f"the probability that the Sharpe ratio is above what luck gives the best of {recipes} tried on this market"
    found = [("Deflated Sharpe ratio", f"{text}, {luck}.")]
    overfitting = mapping(stored.get("overfitting"))
    if is_number(overfitting.get("probability")):
        meaning = "how often the best recipe on half of the bars is below the median on the other half"
        sentence = f"{overfitting['probability']:.2f}, {meaning}; over {overfitting.get('recipes')} recipes."
        found.append(("Probability of backtest overfitting", sentence))
    return found
