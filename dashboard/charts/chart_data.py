"""What each chart shows, worked out from rows: the page writes it as text and as a table, the browser draws it."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeGuard

from dashboard.templatetags.figures import figure, is_number, percent, seconds

Form = Literal["figure", "seconds", "percent", "count"]
# Of a policy's newest finished runs.
RUNS = 500
# In all, from the newest runs back. One run alone may have more: it is thinned, unless it has so many that reading them
# would hold up the page.
EPISODES = 2_000
MOST_EPISODES_READ = 100_000
TABLE_ROWS = 100
BINS = 12
# Beyond it an axis would say nothing.
LARGEST = 1e15

Run = Mapping[str, Any]
Value = float | None


def count(value: float) -> str:
    return f"{value:,}"


FORMS: dict[Form, Callable[[Any], str]] = {"figure": figure, "seconds": seconds, "percent": percent, "count": count}


@dataclass(frozen=True)
class Series:
    label: str
    values: Sequence[Value]
    style: Literal["line", "points", "bars", "marks"] = "line"
    colour: Literal["policy", "reference", "quiet", "bad"] = "policy"


@dataclass(frozen=True)
class Chart:
    """`x` has a number for each value of each series: seconds since 1970 when `time`, the middles of bins of
    `bin_width` where that is not 0. `form` names how a value is written."""

    title: str
    summary: str
    x_label: str
    x: Sequence[float]
    series: tuple[Series, ...]
    form: Form = "figure"
    time: bool = False
    bin_width: float = 0.0
    x_form: Form = "figure"

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "summary": self.summary,
            "x": {"label": self.x_label, "time": self.time, "form": self.x_form, "bin_width": self.bin_width},
            "form": self.form,
            "series": [{"label": one.label, "style": one.style, "colour": one.colour} for one in self.series],
            "data": [list(self.x), *([short(value) for value in one.values] for one in self.series)],
        }

    @property
    def columns(self) -> list[str]:
        return [self.x_label + " (UTC)" * self.time, *(one.label for one in self.series)]

    @property
    def rows(self) -> list[list[str]]:
        """Of the table, as text; of a long one the newest, newest first."""
        places = range(len(self.x))
        if not self.bin_width:
            places = places[::-1][:TABLE_ROWS]
        form = FORMS[self.form]
        return [[self.place(index), *(form(one.values[index]) for one in self.series)] for index in places]

    @property
    def shown(self) -> int:
        """How many of the values are in the table."""
        return len(self.x) if self.bin_width else min(len(self.x), TABLE_ROWS)

    @property
    def left_out(self) -> int:
        return len(self.x) - self.shown

    def place(self, index: int) -> str:
        x = self.x[index]
        if self.time:
            return f"{datetime.fromtimestamp(x, UTC):%Y-%m-%d %H:%M:%S}"
        form = FORMS[self.x_form]
        if self.bin_width:
            return f"{form(x - self.bin_width / 2)} to {form(x + self.bin_width / 2)}"
        return str(form(x))


def rewards(runs: Sequence[Run]) -> Chart:
    """Of each run; `runs` are oldest first, here and below."""
    values = [drawn(run["avg_reward"]) for run in runs]
    failed = [1.0 if run["status"] == "failed" else None for run in runs]
    number = sum(mark is not None for mark in failed)
    series = [Series("Average reward", values, "points")]
    if number:
        series.append(Series("Failed", failed, "marks", "bad"))
    summary = f"{counted(runs, 'finished run')}, {number:,} of them failed. {spread(values, figure)}"
    return Chart("Reward of each run", summary, "Finished", ends(runs), tuple(series), time=True)


def episodes(runs: Sequence[Sequence[Value]]) -> Chart:
    """Of each episode of each run, one run after the other."""
    values = [drawn(reward) for rewards in runs for reward in rewards]
    numbers = list(range(1, len(values) + 1))
    if len(values) > EPISODES:
        kept = [round(index * (len(values) - 1) / (EPISODES - 1)) for index in range(EPISODES)]
        values, numbers = [values[index] for index in kept], [numbers[index] for index in kept]
    of = f"the last {len(runs):,} successful runs" if len(runs) > 1 else many(len(runs), "successful run")
    what = f"{many(numbers[-1] if numbers else 0, 'episode')} of {of}."
    thinned = f" {EPISODES:,} of them are shown, evenly spread." if numbers and numbers[-1] > EPISODES else ""
    summary = f"{what}{thinned} {spread(values, figure)}"
    return Chart("Reward of each episode", summary, "Episode", [*numbers], (Series("Reward", values),), x_form="count")


def distribution(runs: Sequence[Run]) -> Chart:
    values = present(run["avg_reward"] for run in runs)
    what = f"Average rewards of {many(len(values), 'successful run')}."
    return histogram("Distribution of rewards", what, "Average reward", values, "figure")


def durations(runs: Sequence[Run]) -> Chart:
    values = present(run["duration_seconds"] for run in succeeded(runs))
    what = f"Durations of {many(len(values), 'successful run')}, waiting between attempts included."
    return histogram("Training durations", what, "Duration", values, "seconds")


def episode_durations(runs: Sequence[Run]) -> Chart:
    """The mean in each run: single episodes are not timed."""
    runs = succeeded(runs)
    values = [ratio(run["duration_seconds"], run["episodes_done"]) for run in runs]
    summary = f"{counted(runs, 'successful run')}: its duration / its episodes, loading and evaluation included. "
    series = (Series("Mean duration of an episode", values),)
    title = "Mean episode duration of each run"
    return Chart(title, summary + spread(values, seconds), "Finished", ends(runs), series, "seconds", time=True)


def speed(runs: Sequence[Run]) -> Chart:
    runs = succeeded(runs)
    values = [ratio(run["environment_steps"], run["duration_seconds"]) for run in runs]
    summary = f"{counted(runs, 'successful run')}: its environment steps / its duration. {spread(values, figure)}"
    series = (Series("Steps per second", values),)
    return Chart("Steps per second of each run", summary, "Finished", ends(runs), series, time=True)


def histogram(
    title: str, what: str, x_label: str, values: Sequence[float], form: Literal["figure", "seconds"]
) -> Chart:
    width, edges = bins(values)
    counts = [0.0] * (len(edges) - 1)
    for value in values:
        counts[min(int((value - edges[0]) / width), len(counts) - 1)] += 1
    middles = [edge + width / 2 for edge in edges[:-1]]
    series = (Series("Runs", [int(count) for count in counts], "bars"),)
    summary = f"{what} {spread(values, FORMS[form])}"
    return Chart(title, summary, x_label, middles, series, "count", bin_width=width, x_form=form)


def bins(values: Sequence[float]) -> tuple[float, list[float]]:
    """Width and edges of about `BINS` bins of 1, 2, 2.5 or 5 times a power of ten that hold all values."""
    if not values:
        return 1.0, [0.0]
    low, high = min(values), max(values)
    span = high - low
    # Differences that a float of this size hardly tells apart are no differences to show.
    if span <= 1e-9 * max(abs(low), abs(high)) or span < 1e-300:
        span = abs(low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / BINS))
    width = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * BINS >= span * (1 - 1e-9))
    first = math.floor(low / width + 1e-9)
    last = max(first + 1, math.ceil(high / width - 1e-9))
    return width, [number * width for number in range(first, last + 1)]


def spread(values: Sequence[Value], form: Any) -> str:
    found = present(values)
    if not found:
        return "There is nothing to show yet."
    newest = next(value for value in reversed(found))
    texts = (form(newest), form(statistics.median(found)), form(min(found)), form(max(found)))
    return "Newest {}, median {}, lowest {}, highest {}.".format(*texts)


def counted(runs: Sequence[Run], what: str) -> str:
    if not runs:
        return f"No {what}"
    first, last = (run["finished_at"].astimezone(UTC) for run in (runs[0], runs[-1]))
    each = f"The last {len(runs):,} {what}s" if len(runs) > 1 else f"One {what}"
    return f"{each}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def many(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def succeeded(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run["status"] == "succeeded"]


def ends(runs: Sequence[Run]) -> list[float]:
    return [round(run["finished_at"].timestamp(), 3) for run in runs]


def ratio(value: Any, of: Any) -> Value:
    return drawn(value / of) if drawable(value) and drawable(of) and of else None


def present(values: Any) -> list[float]:
    return [value for value in values if drawable(value)]


def drawn(value: Any) -> Value:
    return value if drawable(value) else None


def drawable(value: Any) -> TypeGuard[float]:
    return is_number(value) and abs(value) <= LARGEST


def short(value: Value) -> Value:
    """Six significant digits: more than a screen can show, in a third of the bytes."""
    return None if value is None else float(f"{value:.6g}")
