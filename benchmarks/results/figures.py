"""A measured value with its target, and the tables of such values."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

HEADINGS = ("measured", "figure", "target", "verdict")


@dataclass(frozen=True)
class Figure:
    """A measured value. `at_most` is the target, or None if the value has none."""

    name: str
    value: float
    unit: str
    at_most: float | None = None

    def cells(self) -> tuple[str, str, str, str]:
        """Return the cells below HEADINGS."""
        if self.at_most is None:
            return self.name, f"{self.value:.3g} {self.unit}", "none set", "-"
        # NaN compares as False, so a figure that is not a number falls short.
        verdict = "ok" if self.value <= self.at_most else "short"
        return self.name, f"{self.value:.3g} {self.unit}", f"<= {self.at_most:g} {self.unit}", verdict


def shown(figures: Iterable[Figure], *first_cells: str) -> Iterator[Figure]:
    """Yield the figures, and print each one to stderr as soon as it is measured."""
    for figure in figures:
        print(*first_cells, *figure.cells(), sep=" | ", file=sys.stderr, flush=True)
        yield figure
