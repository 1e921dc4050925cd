"""A chart as data: its series, its table and its JSON. The page shows the table, the browser draws the JSON."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeGuard

from dashboard.templatetags.figures import figure, is_number, percent, seconds

Form = Literal["figure", "seconds", "percent", "count"]
Style = Literal["line", "points", "bars", "marks"]
Colour = Literal[
    "policy",
    "reference",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "quiet",
    "bad",
]
Value = float | None

TABLE_ROWS = 100
# An axis with larger numbers is unreadable, so larger values are gaps.
LARGEST = 1e15


def count(value: float) -> str:
    return f"{value:,}"


FORMS: dict[Form, Callable[[Any], str]] = {"figure": figure, "seconds": seconds, "percent": percent, "count": count}


@dataclass(frozen=True)
class Series:
    """A named series. `colour` names a variable in style.css. A None in `values` is a gap.

    With `spans`, the line crosses gaps. `key` names the value in progress events that the browser appends to a live
    chart.
    """

    label: str
    values: Sequence[Value]
    style: Style = "line"
    colour: Colour = "policy"
    spans: bool = False
    key: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart with a summary in words.

    `x` has a number for each value of each series: seconds since 1970 when `time` is set, the middles of bins when
    `bin_width` is not 0. `form` and `x_form` say how values are written; `x_key` is the key of `x`, like `Series.key`.
    """

    title: str
    summary: str
    x_label: str
    x: Sequence[float]
    series: tuple[Series, ...]
    form: Form = "figure"
    time: bool = False
    bin_width: float = 0.0
    x_form: Form = "figure"
    x_key: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "summary": self.summary,
            "x": {
                "label": self.x_label,
                "time": self.time,
                "form": self.x_form,
                "bin_width": self.bin_width,
                "key": self.x_key,
            },
            "form": self.form,
            "series": [
                {"label": one.label, "style": one.style, "colour": one.colour, "spans": one.spans, "key": one.key}
                for one in self.series
            ],
            "data": [list(self.x), *([short(value) for value in one.values] for one in self.series)],
        }

    @property
    def columns(self) -> list[str]:
        return [self.x_label + " (UTC)" * self.time, *(one.label for one in self.series)]

    @property
    def rows(self) -> list[list[str]]:
        """Return the rows of the table as text: bins in their order, otherwise the newest rows, newest first."""
        places = range(len(self.x))
        if not self.bin_width:
            places = places[::-1][:TABLE_ROWS]
        form = FORMS[self.form]
        return [[self.place(index), *(form(one.values[index]) for one in self.series)] for index in places]

    @property
    def shown(self) -> int:
        """Return the number of rows in the table."""
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


def drawn(value: Any) -> Value:
    """Return the value if a chart can show it, else None."""
    return value if drawable(value) else None


def drawable(value: Any) -> TypeGuard[float]:
    return is_number(value) and abs(value) <= LARGEST


def short(value: Value) -> Value:
    """Return the value with six significant digits: more than a screen shows, in a third of the bytes."""
    return None if value is None else float(f"{value:.6g}")
