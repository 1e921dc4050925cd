"""Charts as SVG, laid out here and drawn by the templates.

A plot is `WIDTH` by `HEIGHT` units, stretched to the space that there is; labels are text beside it, so that they keep
their size on a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from dashboard.templatetags.figures import is_number

WIDTH, HEIGHT = 1000, 300
# More points than a wide screen has pixels would only make the page heavier.
MAX_POINTS = 500
# Of the width that is there for each bar.
BAR_SHARE = 0.7
# Beyond it an axis would say nothing.
LARGEST = 1e15


def drawable(value: Any) -> TypeGuard[float]:
    return is_number(value) and abs(value) <= LARGEST


@dataclass(frozen=True)
class Axis:
    """A vertical axis from `low` to `high` with ticks at even distances, both ends included, top first."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @property
    def labels(self) -> list[str]:
        step = self.ticks[0] - self.ticks[1]
        decimals = next((digits for digits in range(12) if math.isclose(round(step, digits), step)), 12)
        return [f"{tick:,.{decimals}f}" for tick in self.ticks]

    @property
    def grid(self) -> list[str]:
        return [f"{self.y(tick):.1f}" for tick in self.ticks]

    def y(self, value: float) -> float:
        return HEIGHT * (self.high - value) / (self.high - self.low)


@dataclass(frozen=True)
class Line:
    kind: str  # names the line's style
    label: str
    path: str


@dataclass(frozen=True)
class LineChart:
    title: str
    axis: Axis
    lines: tuple[Line, ...]
    x_labels: tuple[str, ...]


@dataclass(frozen=True)
class Bar:
    kind: str
    label: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class BarChart:
    title: str
    axis: Axis
    bars: tuple[Bar, ...]
    x_labels: tuple[str, ...]

    @property
    def zero(self) -> str:
        return f"{self.axis.y(0):.1f}"


def axis_of(values: Sequence[float], intervals: int = 4) -> Axis:
    """An axis that holds all values, with about `intervals` steps of 1, 2, 2.5 or 5 times a power of ten."""
    low, high = min(values), max(values)
    span = high - low
    # Differences that a float of this size hardly tells apart are no differences to show.
    if span <= 1e-9 * max(abs(low), abs(high)) or span < 1e-300:
        margin = abs(low) / 2 or 1.0
        low, high, span = low - margin, high + margin, 2 * margin
    power = 10.0 ** math.floor(math.log10(span / intervals))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * intervals >= span * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(first * step, last * step, tuple(number * step for number in range(last, first - 1, -1)))


def line_chart(title: str, curves: Sequence[tuple[str, str, Sequence[float]]], x_labels: Sequence[str]) -> LineChart:
    """Curves as (kind, label, values), each with its values at even distances over the whole width."""
    axis = axis_of([value for _, _, values in curves for value in values])
    lines = tuple(Line(kind, label, _path(thinned(values), axis)) for kind, label, values in curves)
    return LineChart(title, axis, lines, tuple(x_labels))


def bar_chart(title: str, bars: Sequence[tuple[str, str, float | None]], x_labels: Sequence[str]) -> BarChart:
    """Bars as (kind, label, value), from zero; one without a value is a mark over the whole height."""
    axis = axis_of([0.0, *(value for _, _, value in bars if value is not None)])
    share = WIDTH / len(bars)
    drawn = []
    for index, (kind, label, value) in enumerate(bars):
        top, bottom = (0.0, HEIGHT) if value is None else sorted((axis.y(value), axis.y(0)))
        x = (index + (1 - BAR_SHARE) / 2) * share
        drawn.append(Bar(kind, label, f"{x:.1f}", f"{top:.1f}", f"{BAR_SHARE * share:.1f}", f"{bottom - top:.1f}"))
    return BarChart(title, axis, tuple(drawn), tuple(x_labels))


def thinned(values: Sequence[float], points: int = MAX_POINTS) -> list[float]:
    """At most `points` of the values, evenly spread, the first and the last among them."""
    if len(values) <= points:
        return list(values)
    return [values[round(index * (len(values) - 1) / (points - 1))] for index in range(points)]


def _path(values: Sequence[float], axis: Axis) -> str:
    step = WIDTH / max(1, len(values) - 1)
    return "M" + "L".join(f"{index * step:.1f} {axis.y(value):.1f}" for index, value in enumerate(values))
