"""The result of an attack, and its result before the system was secured."""

from dataclasses import dataclass
from typing import Any

from benchmarks.results import figures
from benchmarks.results.figures import Figure

HEADINGS = ("attack", "before", *figures.HEADINGS[1:])


@dataclass(frozen=True)
class Row:
    """The result of an attack now, and a text with the result before."""

    before: str
    figure: Figure

    def cells(self) -> tuple[str, ...]:
        """Return the cells below HEADINGS."""
        name, *others = self.figure.cells()
        return name, self.before, *others

    def as_dict(self) -> dict[str, Any]:
        """Return the row of JSON: `what`, `value`, `target` and `ok`."""
        return self.figure.as_dict()
