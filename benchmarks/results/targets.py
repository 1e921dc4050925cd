"""The rows of a benchmark that runs several seeds, and their targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import trim_mean

Figures = Sequence[Mapping[str, float]]


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half: Agarwal et al., "Deep RL at the Edge of the Statistical Precipice" (2021)."""
    return float(trim_mean(values, 0.25))


def median(values: Sequence[float]) -> float:
    return float(np.median(values))


def share_from(bound: float) -> Callable[[Sequence[float]], float]:
    """Return a function that returns the share of values that are at least `bound`."""
    return lambda values: float(np.mean(np.asarray(values) >= bound))


@dataclass(frozen=True)
class Target:
    """A summary of the results of all seeds, and its bound.

    name      the summary's name in the table
    summary   the function of the results of all seeds, one result of each
    bound     the least value, or with `at_most` the largest; None if the summary is shown without a target
    of        the name of the result of a seed
    form      format specification of the numbers
    """

    name: str
    summary: Callable[[Sequence[float]], float]
    bound: float | None
    of: str = "figure"
    at_most: bool = False
    form: str = ".1f"

    def figure(self, figures: Figures) -> str:
        """Return the summary as text."""
        return f"{self.name} {self._summary(figures):{self.form}}"

    def wanted(self) -> str:
        """Return the bound as text, empty without a bound."""
        if self.bound is None:
            return ""
        return f"{self.name} {'<=' if self.at_most else '>='} {self.bound:{self.form}}"

    def reached(self, figures: Figures) -> bool:
        """Return whether the summary keeps the bound; True without a bound."""
        if self.bound is None:
            return True
        # NaN compares as False, so a summary that is not a number falls short.
        value = self._summary(figures)
        return value <= self.bound if self.at_most else value >= self.bound

    def _summary(self, figures: Figures) -> float:
        return self.summary([figure[self.of] for figure in figures])


@dataclass(frozen=True)
class Row:
    """A row of the table; `measure(seed)` returns a seed's results by name."""

    name: str
    steps: int
    measure: Callable[[int], dict[str, float]]
    targets: tuple[Target, ...]

    def cells(self, figures: Figures) -> tuple[str, str, str, str, str, str]:
        """Return the cells: name, seeds, steps, figure, target, verdict."""
        bounded = [target for target in self.targets if target.bound is not None]
        verdict = "-" if not bounded else "ok" if all(target.reached(figures) for target in bounded) else "short"
        return (
            self.name,
            str(len(figures)),
            f"{self.steps:,}",
            ", ".join(target.figure(figures) for target in self.targets),
            ", ".join(target.wanted() for target in bounded) or "none set",
            verdict,
        )
