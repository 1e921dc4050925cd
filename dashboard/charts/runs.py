"""The charts of a policy's finished runs. Each function takes the runs' rows, oldest first, and returns a chart."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any, Literal

from dashboard.charts.markets import UNKNOWN, by_market, market_of, newest
from dashboard.charts.series import FORMS, Chart, Series, Value, drawable, drawn
from dashboard.templatetags.figures import figure, seconds
from rl_training.core.words import count_of

# A chart of more episodes shows this number of them, evenly spread.
EPISODES = 2_000
BINS = 12
# A log return of 0.01 is about 1 %.
UNIT = "A reward is the mean log return of an episode on training bars, after costs."

# A row of `TrainingRunQuerySet.charted`.
Run = Mapping[str, Any]


def rewards(runs: Sequence[Run]) -> Chart:
    # A failed run has the rewards of the episodes before its end.
    values = [drawn(run["avg_reward"]) if run["status"] == "succeeded" else None for run in runs]
    failed = [1.0 if run["status"] == "failed" else None for run in runs]
    number = sum(mark is not None for mark in failed)
    series = by_market("Average reward", values, markets(runs), "points")
    if number:
        series.append(Series("Failed", failed, "marks", "bad"))
    found = spread_of_newest(values, markets(runs), figure)
    summary = f"{counted(runs, 'finished run')}, {number:,} of them failed. {found} {UNIT}"
    return Chart("Training reward of each run", summary, "Finished", ends(runs), tuple(series), time=True)


def episodes(runs: Sequence[Sequence[Value]], of: Sequence[str] = (), what_they_are: str = "successful run") -> Chart:
    """Return the chart of the rewards of each run's episodes, one run after the other; `of` holds the runs' markets."""
    values = [drawn(reward) for rewards in runs for reward in rewards]
    on = [market for market, rewards in zip(of or [UNKNOWN] * len(runs), runs, strict=True) for _ in rewards]
    numbers = list(range(1, len(values) + 1))
    found = spread_of_newest(values, on, figure)
    if len(values) > EPISODES:
        kept = [round(index * (len(values) - 1) / (EPISODES - 1)) for index in range(EPISODES)]
        values = [values[index] for index in kept]
        numbers, on = [numbers[index] for index in kept], [on[index] for index in kept]
    newest_runs = f"the last {len(runs):,} {what_they_are}s" if len(runs) > 1 else count_of(len(runs), what_they_are)
    what = f"{count_of(numbers[-1] if numbers else 0, 'episode')} of {newest_runs}."
    thinned = f" {EPISODES:,} of them are shown, evenly spread." if numbers and numbers[-1] > EPISODES else ""
    summary = f"{what}{thinned} {found} {UNIT}"
    series = tuple(by_market("Reward", values, on))
    return Chart("Training reward of each episode", summary, "Episode", [*numbers], series, x_form="count")


def distribution(runs: Sequence[Run]) -> Chart:
    runs = succeeded(runs)
    of_newest, market = newest([drawn(run["avg_reward"]) for run in runs], markets(runs))
    values = present(of_newest)
    what = f"Average rewards of {count_of(len(values), 'successful run')}. {market}"
    chart = histogram("Distribution of training rewards", what.strip(), "Average reward", values, "figure")
    return replace(chart, summary=f"{chart.summary} {UNIT}")


def durations(runs: Sequence[Run]) -> Chart:
    values = present(run["duration_seconds"] for run in succeeded(runs))
    what = f"Durations of {count_of(len(values), 'successful run')}, waiting between attempts included."
    return histogram("Training durations", what, "Duration", values, "seconds")


def episode_durations(runs: Sequence[Run]) -> Chart:
    """Return the chart of the mean episode duration of each run: a run stores no times of single episodes."""
    runs = succeeded(runs)
    values = [ratio(run["duration_seconds"], run["episodes_done"]) for run in runs]
    summary = f"{counted(runs, 'successful run')}: its duration / its episodes, loading and evaluation included. "
    series = tuple(by_market("Mean duration of an episode", values, markets(runs)))
    title = "Mean episode duration of each run"
    found = spread_of_newest(values, markets(runs), seconds)
    return Chart(title, summary + found, "Finished", ends(runs), series, "seconds", time=True)


def speed(runs: Sequence[Run]) -> Chart:
    runs = succeeded(runs)
    values = [ratio(run["environment_steps"], run["duration_seconds"]) for run in runs]
    found = spread_of_newest(values, markets(runs), figure)
    summary = f"{counted(runs, 'successful run')}: its environment steps / its duration. {found}"
    series = tuple(by_market("Steps per second", values, markets(runs)))
    return Chart("Steps per second of each run", summary, "Finished", ends(runs), series, time=True)


def histogram(
    title: str, what: str, x_label: str, values: Sequence[float], form: Literal["figure", "seconds"]
) -> Chart:
    width, edges = bins(values)
    counts = [0] * (len(edges) - 1)
    for value in values:
        counts[min(int((value - edges[0]) / width), len(counts) - 1)] += 1
    middles = [edge + width / 2 for edge in edges[:-1]]
    summary = f"{what} {spread(values, FORMS[form])}"
    return Chart(
        title, summary, x_label, middles, (Series("Runs", counts, "bars"),), "count", bin_width=width, x_form=form
    )


def bins(values: Sequence[float]) -> tuple[float, list[float]]:
    """Return the width and the edges of about `BINS` bins that hold all values.

    The width is 1, 2, 2.5 or 5 times a power of ten.
    """
    if not values:
        return 1.0, [0.0]
    low, high = min(values), max(values)
    span = high - low
    # Rounding errors of floats of this size look like differences; the values count as equal.
    if span <= 1e-9 * max(abs(low), abs(high)) or span < 1e-300:
        span = abs(low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / BINS))
    width = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * BINS >= span * (1 - 1e-9))
    first = math.floor(low / width + 1e-9)
    last = max(first + 1, math.ceil(high / width - 1e-9))
    return width, [number * width for number in range(first, last + 1)]


def spread_of_newest(values: Sequence[Value], of: Sequence[str], form: Any) -> str:
    """Return the `spread` of the values on the newest market, which it names when there are several."""
    found, market = newest(values, of)
    text = spread(found, form)
    return market + text[0].lower() + text[1:] if market else text


def markets(runs: Sequence[Run]) -> list[str]:
    return [market_of(run.get("market")) for run in runs]


def spread(values: Sequence[Value], form: Any) -> str:
    """Return the newest value, the median and the range as a sentence; `form` writes a value."""
    found = present(values)
    if not found:
        return "There is nothing to show yet."
    texts = (form(found[-1]), form(statistics.median(found)), form(min(found)), form(max(found)))
    return "Newest {}, median {}, lowest {}, highest {}.".format(*texts)


def counted(runs: Sequence[Run], what: str) -> str:
    """Return how many runs there are and when the first and the last of them finished."""
    if not runs:
        return f"No {what}"
    first, last = (run["finished_at"].astimezone(UTC) for run in (runs[0], runs[-1]))
    each = f"The last {len(runs):,} {what}s" if len(runs) > 1 else f"One {what}"
    return f"{each}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def succeeded(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run["status"] == "succeeded"]


def ends(runs: Sequence[Run]) -> list[float]:
    """Return when each run finished, in seconds since 1970."""
    return [round(run["finished_at"].timestamp(), 3) for run in runs]


def ratio(value: Any, of: Any) -> Value:
    return drawn(value / of) if drawable(value) and drawable(of) and of else None


def present(values: Any) -> list[float]:
    return [value for value in values if drawable(value)]
