"""A measured value with its target, and the tables of such values."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

HEADINGS = ("measured", "figure", "target", "verdict")


@dataclass(frozen=True)
class Figure:
    """A measured value. `at_most` or `at_least` is its target; without either, it is shown for comparison."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        """The target as text, empty without a target."""
        if self.at_most is not None:
            return f"<= {self.at_most:g} {self.unit}"
        return "" if self.at_least is None else f">= {self.at_least:g} {self.unit}"

    @property
    def ok(self) -> bool | None:
        """Whether the value reaches its target; None without a target."""
        # NaN compares as False, so a value that is not a number falls short.
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least

    def cells(self) -> tuple[str, str, str, str]:
        """Return the cells below HEADINGS."""
        verdict = "-" if self.ok is None else "ok" if self.ok else "short"
        return self.name, f"{self.value:.4g} {self.unit}", self.target or "none set", verdict

    def as_dict(self) -> dict[str, Any]:
        """Return the figure as a row of JSON: `what`, `value`, `target` and `ok`."""
        return {
            "what": f"{self.name} ({self.unit})",
            "value": self.value,
            "target": self.target or None,
            "ok": self.ok,
        }


def shown(figures: Iterable[Figure], *first_cells: str) -> Iterator[Figure]:
    """Yield the figures, and print each one to stderr as soon as it is measured."""
    for figure in figures:
        print(*first_cells, *figure.cells(), sep=" | ", file=sys.stderr, flush=True)
        yield figure
