"""What a row of a benchmark has to reach, and whether its figures do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import trim_mean

Figures = Sequence[Mapping[str, float]]


def interquartile_mean(values: Sequence[float]) -> float:
    """Of the middle half: Agarwal et al., "Deep RL at the Edge of the Statistical Precipice" (2021)."""
    return float(trim_mean(values, 0.25))


def share_from(bound: float) -> Callable[[Sequence[float]], float]:
    """The share of values that are at least `bound`."""
    return lambda values: float(np.mean(np.asarray(values) >= bound))


@dataclass(frozen=True)
class Target:
    """A summary of all seeds' figures and what it has to be.

    name      what the summary is called in the table
    summary   of the figures, one for each seed
    bound     at least this, or at most where `at_most`; None: shown, and nothing is asked of it
    of        the figure's name, where a seed gives several
    form      how numbers are written
    """

    name: str
    summary: Callable[[Sequence[float]], float]
    bound: float | None
    of: str = "figure"
    at_most: bool = False
    form: str = ".1f"

    def figure(self, figures: Figures) -> str:
        return f"{self.name} {self._summary(figures):{self.form}}"

    def wanted(self) -> str:
        if self.bound is None:
            return ""
        return f"{self.name} {'<=' if self.at_most else '>='} {self.bound:{self.form}}"

    def reached(self, figures: Figures) -> bool:
        if self.bound is None:
            return True
        # A figure that is not a number reaches nothing.
        value = self._summary(figures)
        return value <= self.bound if self.at_most else value >= self.bound

    def _summary(self, figures: Figures) -> float:
        return self.summary([figure[self.of] for figure in figures])


@dataclass(frozen=True)
class Row:
    """A line of the table: `measure(seed)` gives that seed's figures by name."""

    name: str
    steps: int
    measure: Callable[[int], dict[str, float]]
    targets: tuple[Target, ...]

    def cells(self, figures: Figures) -> tuple[str, str, str, str, str, str]:
        """name, seeds, steps, figure, target, verdict"""
        asked = [target for target in self.targets if target.bound is not None]
        verdict = "-" if not asked else "ok" if all(target.reached(figures) for target in asked) else "short"
        return (
            self.name,
            str(len(figures)),
            f"{self.steps:,}",
            ", ".join(target.figure(figures) for target in self.targets),
            ", ".join(target.wanted() for target in asked) or "none set",
            verdict,
        )
